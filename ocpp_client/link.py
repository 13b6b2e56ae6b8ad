"""The one connection to the backend: kept up for as long as the process lives, over whatever the network does."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from ocpp_client.certificates.renewal import CertificateRenewal
from ocpp_client.connection import endpoint
from ocpp_client.connection.backoff import Backoff
from ocpp_client.connection.change_detector import ChangeDetector
from ocpp_client.connection.credentials import Credentials
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.failures import SECURITY_EVENTS, Failure, classify
from ocpp_client.connection.heartbeat import Heartbeat
from ocpp_client.connection.publisher import ConnectionPublisher
from ocpp_client.connection.registration import BackendChanged, Disconnected
from ocpp_client.connection.registration_runner import RegistrationRunner
from ocpp_client.connection.socket import PONG_TIMEOUT_S, keep_alive, open_socket
from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.incoming.dispatcher import Dispatcher
from ocpp_client.outgoing.authorizer import Authorizer
from ocpp_client.outgoing.file_statuses import FileStatusSender
from ocpp_client.outgoing.meter_keys import MeterKeys
from ocpp_client.outgoing.outbox_sender import OutboxSender
from ocpp_client.outgoing.security_events import SecurityEventSender
from ocpp_client.outgoing.statuses import StatusReporter
from ocpp_client.ports import Environment
from ocpp_client.rpc import frame_log, frames
from ocpp_client.rpc.calls import DEFAULT_TIMEOUT_S, Calls, NotConnected, NotDelivered
from ocpp_client.rpc.frames import CallError, CallResult
from station import clock
from station.concurrency import BackgroundTasks, wait_or_timeout
from station.services import configuration, security_log

logger = logging.getLogger(__name__)

_CLOSE_GOING_AWAY = 1001
_CLOSE_TOO_BIG = 1009
_AFTER_TROUBLE_S = 2.0
_RECOVERY_LOOK_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Durations a test may shorten."""

    answer_timeout_s: float = DEFAULT_TIMEOUT_S
    pong_timeout_s: float = PONG_TIMEOUT_S
    look_s: float = 1.0
    uplink_look_s: float = 0.1
    # The control loop judges what a power cut interrupted within its patience with silent devices.
    recovery_s: float = 8.0


class BackendLink:
    """Owns the WebSocket and everything that happens over it. `run` it; end it by `stop`."""

    def __init__(self, environment: Environment, *, timing: Timing | None = None) -> None:
        self.environment = environment
        self.timing = timing or Timing()
        self.state = ConnectionState()
        self.calls = Calls(timeout_s=self.timing.answer_timeout_s)
        control_loop, state = environment.control_loop, self.state
        self.publisher = ConnectionPublisher(state, environment.snapshots)
        self.registration_runner = RegistrationRunner(
            calls=self.calls,
            state=state,
            facts=environment.facts,
            clock_port=environment.clock,
            on_begin=self._begin,
            on_change=self.publisher.note_online,
        )
        self.status = StatusReporter(calls=self.calls, state=state)
        self.outbox = OutboxSender(
            calls=self.calls,
            flow=state.flow,
            local_list=environment.local_list,
            control_loop=control_loop,
            on_progress=state.note_change,
        )
        self.meter_keys = MeterKeys(calls=self.calls, outbox=self.outbox)
        self.heartbeat = Heartbeat(calls=self.calls, state=state, clock_port=environment.clock)
        self.authorizer = Authorizer(
            calls=self.calls, state=state, control_loop=control_loop, local_list=environment.local_list
        )
        self.security = SecurityEventSender(calls=self.calls, flow=state.flow)
        self.files = FileStatusSender(calls=self.calls, flow=state.flow, jobs=environment.file_jobs)
        self.renewal = CertificateRenewal(calls=self.calls, flow=state.flow)
        self.changes = ChangeDetector(self)
        self._dispatcher = Dispatcher(self)
        self._credentials = Credentials()
        self._backoff = Backoff(random=random.Random())  # noqa: S311 – jitter is no secret
        self._socket: ClientConnection | None = None
        self._connecting: asyncio.Future[ClientConnection] | None = None
        self._try_now = asyncio.Event()
        self._ping_changed = asyncio.Event()
        self.awaits_uplink = False
        self._stopping = asyncio.Event()
        self._tasks = BackgroundTasks(logger, expected=(NotDelivered,))

    # --- life ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connection until `stop`."""
        await in_database(self._credentials.load)
        await self.outbox.recover()
        self.calls.on_late = self._take_late
        await self.publisher.note_online()
        loops: dict[str, Callable[[], Awaitable[None]]] = {
            "connection state": self.publisher.run,
            "outbox": self.outbox.run,
            "status": self.status.run,
            "heartbeat": self.heartbeat.run,
            "security events": self.security.run,
            "file statuses": self.files.run,
            "certificate": self.renewal.run,
            "change detector": self.changes.run,
        }
        if self.environment.uplink.simulated:
            loops["uplink"] = self.changes.watch_uplink
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._for_ever(name, loop)) for name, loop in loops.items()]
                await self._for_ever("connection", self._keep_connected)
                for task in tasks:
                    task.cancel()
        finally:
            await self._end()

    async def _for_ever(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a loop again after an unexpected failure (a locked or full disk): the link must not die of it."""
        while True:
            try:
                await loop()
            except Exception:
                logger.exception("The loop %s of the backend link failed", name)
                await asyncio.sleep(_AFTER_TROUBLE_S)
            else:
                return

    async def stop(self) -> None:
        """End in order: the backend hears that the station goes away (1001)."""
        self._stopping.set()
        self._try_now.set()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None:
            await self._socket.close(_CLOSE_GOING_AWAY)

    async def _end(self) -> None:
        await self.registration_runner.close()
        await self._tasks.close()
        self.state.last_error = ""
        await self.publisher.note_online()
        await self.publisher.publish()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the connection; its failure is logged."""
        self._tasks.spawn(work)

    # --- connecting ------------------------------------------------------------------------------------------

    async def _keep_connected(self) -> None:
        while not self._stopping.is_set():
            self._try_now.clear()
            wanted = await in_database(endpoint.configured)
            await self._aim_at(wanted)
            if wanted is None:
                self._fail(Failure.NO_BACKEND)
                await self._try_now.wait()
                continue
            if self._network_is_cut():
                self._fail(Failure.NETWORK_DOWN)
                self.awaits_uplink = True
                await self._try_now.wait()
                self.awaits_uplink = False
                continue
            failure = await self._attempt(wanted)
            if self._stopping.is_set() or self._try_now.is_set() or self._network_is_cut():
                continue
            low, high = await in_database(_reconnect_bounds)
            delay_s = self._backoff.next_delay_s(
                minimum_s=low, maximum_s=high, refused=failure is Failure.CONNECTION_REFUSED
            )
            await wait_or_timeout(self._try_now, delay_s)

    def _network_is_cut(self) -> bool:
        uplink = self.environment.uplink
        return uplink.simulated and not uplink.is_up()

    async def _aim_at(self, wanted: Endpoint | None) -> None:
        before = self.state.endpoint
        self.state.endpoint = wanted
        if wanted != before:
            self._credentials.reset()
        if before is not None and (wanted is None or not wanted.fits(before)):
            await self.registration_runner.handle(BackendChanged())

    async def _attempt(self, wanted: Endpoint) -> Failure:
        """Connect and stay connected; answers why it ended."""
        used = self._credentials.choose(wanted)
        try:
            context = await in_database(endpoint.tls_context, used)
            self._connecting = asyncio.ensure_future(open_socket(used, context))
            socket = await self._connecting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Only the attempt was given up: there is something better to try.
            return Failure.CLOSED
        except (OSError, InvalidHandshake, InvalidURI, EOFError, ValueError) as error:
            failure = classify(error)
            await self._note_failure(failure, wanted, error)
            return failure
        finally:
            self._connecting = None
        if self._stopping.is_set():
            await socket.close(_CLOSE_GOING_AWAY)
            return Failure.CLOSED
        began_s = clock.monotonic_s()
        self._socket = socket
        accepted = False
        try:
            failure = await self._converse(socket)
            accepted = self.state.registration.may_call
        finally:
            self._socket = None
            await self._disconnected()
            self._backoff.ended(lasted_s=clock.monotonic_s() - began_s)
        if accepted:
            self._credentials.reset()
        else:
            self._credentials.failed(wanted, failure)
        self._fail(failure)
        return failure

    async def _converse(self, socket: ClientConnection) -> Failure:
        async def send(text: str) -> None:
            try:
                frame_log.sent(text)
                await socket.send(text)
            except ConnectionClosed:
                raise NotConnected from None

        self.state.connected, self.state.since = True, clock.now()
        logger.info("Connected to the backend")
        self.calls.attach(send)
        self._dispatcher.begin(send)
        await self.publisher.note_online()
        beat = asyncio.create_task(keep_alive(socket, self._ping_changed, pong_timeout_s=self.timing.pong_timeout_s))
        registering = asyncio.create_task(self._register(socket))
        try:
            async for text in socket:
                self._receive(text)
        except ConnectionClosed as closed:
            if closed.sent is not None and closed.sent.code == _CLOSE_TOO_BIG:
                return Failure.MESSAGE_TOO_BIG
            return Failure.PONG_MISSING if beat.done() else Failure.CONNECTION_LOST
        finally:
            for task in (beat, registering):
                task.cancel()
            await asyncio.gather(beat, registering, return_exceptions=True)
        return Failure.CLOSED

    async def _register(self, socket: ClientConnection) -> None:
        try:
            await self.registration_runner.connected()
        except Exception:
            # Nobody would ever ask again on this connection; the next one begins anew.
            logger.exception("The registration could not begin")
            socket.transport.abort()

    def _receive(self, text: str | bytes) -> None:
        try:
            frame = frames.parse(text)
        except frames.MessageTypeUnknown:
            frame_log.received(text, None)
            return
        except frames.FrameMalformed as broken:
            frame_log.received(text, None)
            logger.warning("The backend sent %s", broken)
            self._dispatcher.take_broken(broken)
            return
        frame_log.received(text, frame)
        if isinstance(frame, CallResult | CallError):
            self.calls.take_answer(frame)
        else:
            self._dispatcher.take(frame, text)

    async def _disconnected(self) -> None:
        self.calls.detach()
        self._dispatcher.end()
        self.state.flow.clear()
        self.state.connected, self.state.since = False, clock.now()
        await self.registration_runner.handle(Disconnected())

    def _fail(self, failure: Failure) -> None:
        if self.state.last_error != failure.value:
            logger.info("No connection to the backend: %s", failure.value)
        self.state.last_error = failure.value
        self.spawn(self.publisher.note_online())

    async def _note_failure(self, failure: Failure, wanted: Endpoint, error: BaseException) -> None:
        event = SECURITY_EVENTS.get(failure)
        if event is not None and self.state.last_error != failure.value:
            await in_database(security_log.record, event, at=clock.now(), tech_info=str(error)[:255])
        self._credentials.failed(wanted, failure)
        self._fail(failure)

    # --- what follows from registration ------------------------------------------------------------------------

    async def _begin(self, full: bool) -> None:  # noqa: FBT001 – a callback with one argument
        """Tell every status, then let everything owed go (OCPP 1.6 sections 4.2 and 4.9)."""
        await self._note_credentials()
        self.state.last_error = ""
        await self.publisher.note_online()
        if full:
            await self._past_is_settled()
        await self.status.report_all(only_changed=not full)
        if full:
            await self.outbox.booted()
        self.state.flow.set()
        self.outbox.wake()
        self.security.wake()
        self.files.wake()
        await self.meter_keys.tell(anew=full)

    async def _past_is_settled(self) -> None:
        """Wait for the control loop of a fresh start: the statuses in the table are those of before it."""
        deadline_s = clock.monotonic_s() + self.timing.recovery_s
        while clock.monotonic_s() < deadline_s:
            snapshot = await self.environment.snapshots.hardware()
            if snapshot is not None and "starting" not in snapshot.not_ready:
                return
            await asyncio.sleep(_RECOVERY_LOOK_S)

    async def _note_credentials(self) -> None:
        wanted = self.state.endpoint
        if wanted is None:
            return
        used = self._credentials.choose(wanted)
        await in_database(self._credentials.worked, used, wanted, clock.now())
        if used != wanted and await in_database(endpoint.configured) == used:
            self.state.endpoint = used

    def reconnect(self) -> None:
        """Close and connect anew: address or credentials have changed."""
        self.try_now()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._socket is not None:
            self.spawn(self._close(self._socket))

    def restart_timers(self) -> None:
        """Take changed intervals into use at once."""
        self.heartbeat.restart()
        self._ping_changed.set()

    def try_now(self) -> None:
        """Waste no time waiting for the next attempt."""
        self._backoff.attempts = 0
        self._try_now.set()

    def cut(self) -> None:
        """Lose the connection, as the network would."""
        if self._socket is not None:
            self._socket.transport.abort()

    @staticmethod
    async def _close(socket: ClientConnection) -> None:
        await socket.close(1000)

    def _take_late(self, answer: CallResult | CallError) -> None:
        self.spawn(self._late(answer))

    async def _late(self, answer: CallResult | CallError) -> None:
        if isinstance(answer, CallError) or not await self.registration_runner.take_late(answer):
            await self.outbox.take_late(answer)


def _reconnect_bounds() -> tuple[float, float]:
    low = configuration.get_int("/ocpp/reconnectMinS")
    return float(low), float(max(low, configuration.get_int("/ocpp/reconnectMaxS")))
