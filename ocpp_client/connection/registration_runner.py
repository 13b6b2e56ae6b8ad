"""Carries out what the boot states ask for: BootNotification, its repetition, and what follows from its answer."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import DatabaseError, transaction
from ocpp.exceptions import OCPPError
from ocpp.v16 import call
from ocpp.v16.enums import Action, RegistrationStatus

from ocpp_client.connection import registration
from ocpp_client.connection.registration import (
    Begin,
    BootAnswered,
    BootFailed,
    BootTriggered,
    CancelRetry,
    Disconnected,
    Event,
    Phase,
    Resume,
    RetryDue,
    RetryIn,
    SendBoot,
)
from ocpp_client.connection.state import Acceptance, ConnectionState
from ocpp_client.database import in_database, in_portions
from ocpp_client.ports import ClockPort, Facts, StationFacts
from ocpp_client.rpc import schemas
from ocpp_client.rpc.calls import AnswerTimedOut, CallErrorReceived, Calls, NotConnected, NotDelivered
from ocpp_client.rpc.frames import CallResult
from ocpp_client.rpc.messages import message_of, payload_of
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.configuration import ConfigurationRefused, Origin
from station.domain.moments import EARLIEST_STAMP, LATEST_STAMP, from_wire
from station.domain.stamps import Stamp
from station.models import BackendState
from station.services import configuration, event_log, security_log, stamps

logger = logging.getLogger(__name__)

# CiString lengths of BootNotification.req (OCPP 1.6 section 6.3).
_LENGTHS = {"chargePointVendor": 20, "chargePointModel": 20, "iccid": 20, "imsi": 20, "firmwareVersion": 50}
_DEFAULT_LENGTH = 25


class RegistrationRunner:
    """Runs the registration machine.

    `on_begin(acceptance)` is awaited in a task of its own once calls are allowed. It is not cancelled, since a call may
    be under way that nothing may overtake: it looks whether the acceptance still holds.
    """

    def __init__(
        self,
        *,
        calls: Calls,
        state: ConnectionState,
        facts: Facts,
        clock_port: ClockPort,
        on_begin: Callable[[Acceptance], Awaitable[None]],
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        self._calls = calls
        self._state = state
        self._facts = facts
        self._clock_port = clock_port
        self._on_begin = on_begin
        self._on_change = on_change
        self._acceptance: Acceptance | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._asking: asyncio.Task[None] | None = None
        # The BootNotification that met a time-out: it is repeated under its id, and its answer may still come.
        self._unanswered: tuple[str, call.BootNotification] | None = None
        # Held while an answer is taken: a trigger that came behind it asks for another BootNotification.
        self._taking_answer = asyncio.Lock()
        self._tasks = BackgroundTasks(logger)

    async def connected(self) -> None:
        """Begin a connection."""
        changed = await in_database(self._content_changed)
        await self.handle(registration.Connected(content_changed=changed))

    async def handle(self, event: Event) -> None:
        """Take an event and do what follows from it."""
        before = self._state.registration
        self._state.registration, effects = registration.step(before, event)
        if not self._state.online:
            self._state.flow.clear()
            self._end_acceptance()
        if before.phase is not self._state.registration.phase:
            logger.info("Registration: %s", self._state.registration.phase.value)
            await self._on_change()
        for effect in effects:
            match effect:
                case SendBoot():
                    if self._asking is not None:
                        self._asking.cancel()
                    self._asking = self._tasks.spawn(self._boot())
                case RetryIn():
                    self._cancel_retry()
                    loop = asyncio.get_running_loop()
                    self._retry = loop.call_later(effect.seconds, self._retry_now)
                case CancelRetry():
                    self._cancel_retry()
                case Begin():
                    self._state.has_begun = False
                    self._take_acceptance()
                case Resume():
                    self._take_acceptance()

    @property
    def may_trigger_boot(self) -> bool:
        """Whether the backend may ask for a BootNotification now."""
        return self._state.registration.may_trigger_boot

    async def trigger_boot(self) -> None:
        """Send BootNotification because the backend has asked for it, which it did after its last answer."""
        async with self._taking_answer:
            await self.handle(BootTriggered())

    async def close(self) -> None:
        """End everything under way."""
        self._cancel_retry()
        await self._tasks.close()

    def _retry_now(self) -> None:
        self._tasks.spawn(self.handle(RetryDue()))

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _take_acceptance(self) -> None:
        self._end_acceptance()
        if not self._state.online:
            # An answer may overtake the news that its connection has ended; the next one begins.
            return
        self._acceptance = Acceptance(full=not self._state.has_begun)
        self._tasks.spawn(self._begin(self._acceptance))

    def _end_acceptance(self) -> None:
        if self._acceptance is not None:
            self._acceptance.end()
            self._acceptance = None

    async def _begin(self, acceptance: Acceptance) -> None:
        try:
            await self._on_begin(acceptance)
        except NotDelivered:
            # The connection ended meanwhile; the next one begins anew.
            return

    async def _boot(self) -> None:
        try:
            message = await in_database(self._message)
            message_id = self._id_for(message)
            began_s = clock.monotonic_s()
            answer = await self._calls.call(message, message_id=message_id)
        except DatabaseError:
            logger.exception("BootNotification could not be written")
            await self.handle(BootFailed())
            return
        except NotConnected:
            await self.handle(Disconnected())
            return
        except AnswerTimedOut:
            logger.warning("BootNotification was not answered in time")
            self._unanswered = message_id, message
            await self.handle(BootFailed())
            return
        except NotDelivered as failure:
            detail = str(failure) if isinstance(failure, CallErrorReceived) else failure.code
            logger.warning("BootNotification was not answered: %s", detail)
            await self.handle(BootFailed())
            return
        self._state.boot_ms = round((clock.monotonic_s() - began_s) * 1000)
        await self._answered(message, answer)

    def _id_for(self, message: call.BootNotification) -> str:
        """Choose the message id: after a time-out that of the first attempt, so that its answer counts whenever."""
        unanswered, self._unanswered = self._unanswered, None
        return unanswered[0] if unanswered is not None and unanswered[1] == message else str(uuid.uuid4())

    async def take_late(self, answer: CallResult) -> bool:
        """Take an answer that came after its time-out; return whether it is one to BootNotification."""
        if self._unanswered is None or self._unanswered[0] != answer.message_id:
            return False
        if self._state.registration.phase is not Phase.UNANSWERED:
            return True
        try:
            schemas.check_result("BootNotification", answer.payload, lenient=True)
        except OCPPError as violation:
            logger.warning("The late answer to BootNotification is invalid: %s", violation.description)
            return True
        _, message = self._unanswered
        self._unanswered = None
        self._cancel_retry()
        await self._answered(message, answer.payload)
        return True

    async def _answered(self, message: call.BootNotification, answer: dict[str, Any]) -> None:
        received_at = clock.now()
        self._state.answered_at, self._state.interval_s = received_at, max(0, answer["interval"])
        async with self._taking_answer:
            try:
                await in_database(self._record, message, answer, received_at)
                await take_time(self._clock_port, answer["currentTime"])
            except DatabaseError:
                # The backend's word holds without the record, too; after a restart the backend is asked again.
                logger.exception("The answer to BootNotification could not be recorded")
            await self.handle(BootAnswered(status=answer["status"], interval_s=max(0, answer["interval"])))

    def _message(self) -> call.BootNotification:
        present = configuration.snapshot()
        facts: StationFacts = self._facts.read()
        content = {
            "chargePointVendor": present["/identity/vendor"],
            "chargePointModel": present["/identity/model"],
            "chargePointSerialNumber": present["/identity/serial"],
            "chargeBoxSerialNumber": present["/ocpp/chargeBoxSerialNumber"],
            "firmwareVersion": facts.firmware_version,
            "iccid": facts.iccid,
            "imsi": facts.imsi,
        }
        fitting = {name: text[: _LENGTHS.get(name, _DEFAULT_LENGTH)] for name, text in content.items() if text}
        message: call.BootNotification = message_of(Action.boot_notification, fitting)
        return message

    def _content_changed(self) -> bool:
        return bool(BackendState.load().boot_content != payload_of(self._message()))

    def _record(self, message: call.BootNotification, answer: dict[str, Any], at: datetime) -> None:
        """Remember the answer; at Accepted also by whom, and take over interval and time.

        An interval the same backend has told before is no news: it does not override what HeartbeatInterval was set to
        since.
        """
        status, interval = answer["status"], max(0, answer["interval"])
        with transaction.atomic():
            state = BackendState.load()
            told_before = state.accepted_by, state.heartbeat_interval_s
            state.registration, state.boot_content = status, payload_of(message)
            if status == RegistrationStatus.accepted and self._state.endpoint is not None:
                state.accepted_by = self._state.endpoint.key
                state.heartbeat_interval_s = interval or None
            is_news = told_before != (state.accepted_by, state.heartbeat_interval_s)
            state.save(update_fields=["registration", "boot_content", "accepted_by", "heartbeat_interval_s"])
            for code in (Phase.PENDING, Phase.REJECTED):
                if status.lower() == code.value:
                    event_log.begin(f"backend.{code.value}", at=at)
                else:
                    event_log.end(f"backend.{code.value}", at=at)
        if status == RegistrationStatus.accepted and interval and is_news:
            take_interval(interval, at)


def take_interval(interval_s: int, at: datetime) -> None:
    """Make the backend's heartbeat interval the value of HeartbeatInterval."""
    value = str(interval_s)
    if configuration.get("HeartbeatInterval") == value:
        return
    try:
        configuration.change({"HeartbeatInterval": value}, origin=Origin.LOCAL, actor="BootNotification", at=at)
    except ConfigurationRefused as refusal:
        logger.warning("The backend's interval is not usable: %s", refusal)


async def take_time(port: ClockPort, text: str) -> None:
    """Hand the backend's time to the clock where TimeSource says so, and correct what was stamped before."""
    truth = await in_database(_set_clock, port, text)
    if truth is not None:
        await in_portions(stamps.correcting(truth))


def _set_clock(port: ClockPort, text: str) -> Stamp | None:
    """Set the clock; return the present moment if what was stamped before is to be corrected by it."""
    if "HeartBeat" not in configuration.get_list("TimeSource"):
        return None
    try:
        moment = from_wire(text)
    except ValueError:
        logger.warning("The backend's time is invalid: %.40s", text)
        return None
    before = clock.now()
    if port.set_from_backend(moment):
        security_log.record("SettingSystemTime", at=clock.now(), tech_info=f"from {before:%Y-%m-%dT%H:%M:%SZ}")
        return clock.stamp()
    if before < EARLIEST_STAMP <= moment < LATEST_STAMP:
        # A clock that has lost its time and cannot be set: at least what waits for its true moment shall go.
        return replace(clock.stamp(), at=moment)
    return None
