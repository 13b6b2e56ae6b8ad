"""The one link to the backend: the connection, and what both sides say over it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from django.db import DatabaseError

from ocpp_client.certificates import certificates
from ocpp_client.certificates.renewal import CertificateRenewal
from ocpp_client.connection.address_trial import LOOK_S, TRIAL_S, AddressTrial
from ocpp_client.connection.change_detector import ChangeDetector
from ocpp_client.connection.checks import ConnectionChecks
from ocpp_client.connection.connection import Connection
from ocpp_client.connection.control import ConnectionControl
from ocpp_client.connection.heartbeat import Heartbeat
from ocpp_client.connection.publisher import ConnectionPublisher
from ocpp_client.connection.registration_runner import RegistrationRunner
from ocpp_client.connection.socket import PONG_TIMEOUT_S
from ocpp_client.connection.state import Acceptance, ConnectionState
from ocpp_client.connection.uplink_watch import UplinkWatch
from ocpp_client.database import in_database
from ocpp_client.incoming.dispatcher import Dispatcher
from ocpp_client.incoming.frame_router import FrameRouter
from ocpp_client.incoming.handlers import make_routes
from ocpp_client.incoming.handlers.context import HandlerContext
from ocpp_client.outgoing.authorizer import BackendAuthorizer
from ocpp_client.outgoing.dimming import DimmingSender
from ocpp_client.outgoing.file_statuses import FileStatusSender
from ocpp_client.outgoing.meter_keys import MeterKeys
from ocpp_client.outgoing.outbox_sender import OutboxSender
from ocpp_client.outgoing.security_events import SecurityEventSender
from ocpp_client.outgoing.statuses import StatusReporter
from ocpp_client.ports import Environment
from ocpp_client.rpc.calls import DEFAULT_TIMEOUT_S, Calls, NotDelivered
from ocpp_client.rpc.frames import CallError, CallResult
from ocpp_client.storage import StorageWatch
from station import clock
from station.concurrency import BackgroundTasks
from station.services.messages import (
    AuthorizeRequest,
    CheckBackend,
    DimmingChanged,
    FileStatusChanged,
    MessageToOcpp,
    OutboxChanged,
    SecurityEventRecorded,
    StatusChanged,
    TryBackend,
)

logger = logging.getLogger(__name__)

_AFTER_TROUBLE_S = 2.0
_RECOVERY_LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Durations a test may shorten."""

    answer_timeout_s: float = DEFAULT_TIMEOUT_S
    pong_timeout_s: float = PONG_TIMEOUT_S
    look_s: float = 1.0
    uplink_look_s: float = 0.25
    # The control loop judges what a power cut interrupted within its patience with silent devices.
    recovery_s: float = 8.0
    trial_s: float = TRIAL_S
    trial_look_s: float = LOOK_S


class BackendLink:
    """Composes the connection and everything that happens over it. `run` it; end it by `stop`."""

    def __init__(self, environment: Environment, *, timing: Timing | None = None) -> None:
        timing = timing or Timing()
        control_loop, local_list = environment.control_loop, environment.local_list
        self._snapshots = environment.snapshots
        self._recovery_s = timing.recovery_s
        self.state = state = ConnectionState()
        self._storage = storage = StorageWatch()
        calls = Calls(timeout_s=timing.answer_timeout_s)
        calls.on_late = self._take_late
        self._publisher = ConnectionPublisher(state, environment.snapshots)
        self._registration = RegistrationRunner(
            calls=calls,
            state=state,
            facts=environment.facts,
            clock_port=environment.clock,
            on_begin=self._begin,
            on_change=self._publisher.note_online,
        )
        self._connection = Connection(
            state=state,
            registration=self._registration,
            publisher=self._publisher,
            uplink=environment.uplink,
            pong_timeout_s=timing.pong_timeout_s,
        )
        self._heartbeat = Heartbeat(calls=calls, state=state, clock_port=environment.clock)
        self.control = ConnectionControl(state, self._connection, self._heartbeat)

        # What the station tells and asks.
        self.status = StatusReporter(calls=calls, state=state)
        self.outbox = OutboxSender(
            calls=calls,
            flow=state.flow,
            local_list=local_list,
            control_loop=control_loop,
            on_progress=state.note_change,
            storage=storage,
        )
        self._meter_keys = MeterKeys(calls=calls, flow=state.flow, outbox=self.outbox)
        self.authorizer = BackendAuthorizer(calls=calls, state=state, control_loop=control_loop, local_list=local_list)
        self.security = SecurityEventSender(calls=calls, flow=state.flow)
        self.dimming = DimmingSender(calls=calls, flow=state.flow)
        self.files = FileStatusSender(calls=calls, flow=state.flow, jobs=environment.file_jobs)
        self.renewal = CertificateRenewal(calls=calls, flow=state.flow)

        # What the backend asks.
        routes = make_routes(
            HandlerContext(
                connection=self.control,
                calls=calls,
                registration=self._registration,
                statuses=self.status,
                heartbeat=self._heartbeat,
                outbox=self.outbox,
                control_loop=control_loop,
                snapshots=environment.snapshots,
                local_list=local_list,
                file_jobs=environment.file_jobs,
            )
        )
        self._router = FrameRouter(calls, Dispatcher(state, routes, storage))

        self._changes = ChangeDetector(
            state,
            self.control,
            outbox=self.outbox,
            statuses=self.status,
            meter_keys=self._meter_keys,
            look_s=timing.look_s,
        )
        self._checks = ConnectionChecks(state, self._connection)
        self._trial = AddressTrial(state, self._connection, trial_s=timing.trial_s, look_s=timing.trial_look_s)
        self._uplink_watch = None
        if environment.uplink.simulated:
            self._uplink_watch = UplinkWatch(environment.uplink, self._connection, look_s=timing.uplink_look_s)
        self._tasks = BackgroundTasks(logger, expected=(NotDelivered,))

    async def run(self) -> None:
        """Keep the connection until `stop`."""
        await self._connection.load()
        await self._publisher.note_online()
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "storage": self._storage.run,
            "connection state": self._publisher.run,
            "outbox": self.outbox.run,
            "status": self.status.run,
            "heartbeat": self._heartbeat.run,
            "security events": self.security.run,
            "dimming": self.dimming.run,
            "file statuses": self.files.run,
            "certificate": self.renewal.run,
            "change detector": self._changes.run,
            "address": self._trial.run,
        }
        if self._uplink_watch is not None:
            loops["uplink"] = self._uplink_watch.run
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._for_ever(name, loop)) for name, loop in loops.items()]
                await self._for_ever("connection", partial(self._connection.run, self._router))
                for task in tasks:
                    task.cancel()
        finally:
            await self._end()

    async def _for_ever(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop again after an unexpected failure (a locked or full disk): the link must not die of it."""
        while True:
            try:
                await loop()
            except DatabaseError as error:
                self._storage.report(error, name)
                await asyncio.sleep(_AFTER_TROUBLE_S)
            except Exception:
                logger.exception("The loop %s of the backend link failed", name)
                await asyncio.sleep(_AFTER_TROUBLE_S)
            else:
                return

    async def stop(self) -> None:
        """End in order: the backend hears that the station goes away (1001)."""
        await self._connection.stop()

    async def _end(self) -> None:
        await self._registration.close()
        await self._changes.close()
        await self._checks.close()
        await self._connection.close()
        await self._tasks.close()
        self.state.last_error = ""
        await self._publisher.note_online()
        await self._publisher.publish()

    def take(self, message: MessageToOcpp) -> None:
        """Take a message of another process."""
        match message:
            case StatusChanged():
                self.status.take(message)
            case AuthorizeRequest():
                self._tasks.spawn(self.authorizer.request(message))
            case OutboxChanged():
                self.outbox.wake()
                self.state.note_change()
            case SecurityEventRecorded():
                self.security.wake()
            case DimmingChanged():
                self.dimming.wake()
            case FileStatusChanged():
                # The row says what there is to tell, the message only when.
                self.files.wake()
            case CheckBackend():
                self._checks.check()
            case TryBackend():
                self._checks.try_settings(message.trial_id, message.sealed, message.actor)

    async def _begin(self, acceptance: Acceptance) -> None:
        """Tell every status, then let everything owed go (OCPP 1.6 sections 4.2 and 4.9).

        Ends early where the acceptance does: whoever is at the other end by then has not allowed any of it. What was
        not done is done with the next acceptance, or over the next connection.
        """
        try:
            await self._connection.note_accepted()
            if acceptance.holds() and self.state.link.is_proven:
                await in_database(certificates.forget_unproven, clock.now())
        except (DatabaseError, OSError) as error:
            # Nothing of this connection hangs on it; it is made up for at the next one.
            self._storage.report(error, "registration")
        if not acceptance.holds():
            return
        self.state.last_error = ""
        await self._publisher.note_online()
        if acceptance.full:
            await self._past_is_settled(acceptance)
        await self._insist(acceptance, "status", partial(self.status.report_all, acceptance))
        if not acceptance.holds():
            return
        # Nothing is awaited from here on: what would begin to flow must be allowed.
        if acceptance.full:
            self.outbox.booted()
        self.state.has_begun = True
        self.state.flow.set()
        self.outbox.wake()
        self.security.wake()
        self.dimming.wake()
        self.files.wake()
        await self._insist(acceptance, "meter keys", partial(self._meter_keys.tell, anew=acceptance.full))

    async def _insist(self, acceptance: Acceptance, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do what follows from an acceptance, however busy the database is: over its connection nobody else will."""
        while acceptance.holds():
            try:
                await work()
            except DatabaseError as error:
                self._storage.report(error, name)
                await asyncio.sleep(_AFTER_TROUBLE_S)
            else:
                return

    async def _past_is_settled(self, acceptance: Acceptance) -> None:
        """Wait for the control loop of a fresh start: the statuses in the table are those of before it."""
        deadline_s = clock.monotonic_s() + self._recovery_s
        while acceptance.holds() and clock.monotonic_s() < deadline_s:
            snapshot = await self._snapshots.hardware()
            if snapshot is not None and "starting" not in snapshot.not_ready:
                return
            await asyncio.sleep(_RECOVERY_LOOK_S)

    def _take_late(self, answer: CallResult | CallError) -> None:
        self._tasks.spawn(self._late(answer))

    async def _late(self, answer: CallResult | CallError) -> None:
        if isinstance(answer, CallError) or not await self._registration.take_late(answer):
            await self.outbox.take_late(answer)
