"""Answering the backend's calls: each exactly once, concurrently with our own, and never a second effect."""

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ocpp_client import feature_profiles
from ocpp_client.connection.socket import MAX_MESSAGE_BYTES
from ocpp_client.database import in_database
from ocpp_client.incoming.answered_calls import AnsweredCalls, fingerprint
from ocpp_client.incoming.handlers import HANDLERS
from ocpp_client.incoming.handlers.base import CallRefused, Reply, Request, status
from ocpp_client.rpc import frames, schemas
from ocpp_client.rpc.calls import NotConnected, NotDelivered, Send
from ocpp_client.rpc.frames import Call, CallError, CallResult, ErrorCode
from station import clock
from station.concurrency import BackgroundTasks
from station.services import configuration, security_log

if TYPE_CHECKING:
    from ocpp_client.link import BackendLink

logger = logging.getLogger(__name__)

# More calls under way at once than any backend has a use for; the rest is refused instead of piled up. Two messages of
# the greatest size a connection takes: parsed and carried out, they cost several times their text.
MOST_AT_ONCE = 2000
MOST_BYTES_AT_ONCE = 2 * MAX_MESSAGE_BYTES
# A backend that sends and does not read leaves the refusals themselves in the way.
_MOST_TASKS = 2 * MOST_AT_ONCE
_BURST_S = 1.0
# OCPP 1.6 section 4.2: not allowed while the registration is pending.
_NOT_BEFORE_ACCEPTED = frozenset({"RemoteStartTransaction", "RemoteStopTransaction"})
# Asking again does no harm, and a remembered answer might be out of date.
_WITHOUT_EFFECT = frozenset(
    {"GetConfiguration", "GetLocalListVersion", "GetCompositeSchedule", "GetInstalledCertificateIds"}
)

# The text of an answer, and what is to be done after it; None for a refusal.
Answer = tuple[str, Reply | None]


@dataclass(frozen=True, kw_only=True)
class _UnderWay:
    digest: bytes
    answer: asyncio.Future[str]


class Dispatcher:
    """Takes the calls that arrive over the connection that stands."""

    def __init__(self, link: "BackendLink") -> None:
        self._link = link
        self._send: Send | None = None
        self._answered = AnsweredCalls()
        self._under_way: dict[str, _UnderWay] = {}
        self._bytes_under_way = 0
        self._tasks = BackgroundTasks(logger)
        self._next_note_s = 0.0

    def begin(self, send: Send) -> None:
        """Answer over this connection; message ids of earlier ones mean nothing here."""
        self._send = send
        self._answered.clear()
        self._under_way.clear()

    def end(self) -> None:
        """Give up the connection. What is being carried out goes on; its answer has nowhere to go."""
        self._send = None

    def take_broken(self, broken: frames.FrameMalformed) -> None:
        """Note a frame that could not be read, and answer it where it deserves an answer."""
        self._note_invalid(str(broken))
        answer = broken.answer
        if answer is not None and not self._link.state.registration.must_be_silent:
            self._refuse(answer)

    def take(self, call: Call, text: str | bytes) -> None:
        """Answer a call, which came as this text."""
        if self._link.state.registration.must_be_silent:
            logger.info("%s stays unanswered: the backend has rejected this station", call.action[:50])
            return
        digest, size = fingerprint(text)
        if len(self._tasks) >= MOST_AT_ONCE or self._bytes_under_way + size > MOST_BYTES_AT_ONCE:
            self._refuse(
                CallError(message_id=call.message_id, code=ErrorCode.INTERNAL_ERROR, description="too many calls")
            )
            return
        self._bytes_under_way += size
        self._tasks.spawn(self._answer(call, digest, size))

    def _refuse(self, refusal: CallError) -> None:
        if len(self._tasks) < _MOST_TASKS:
            self._tasks.spawn(self._reply_with(frames.encode(refusal)))

    async def _answer(self, call: Call, digest: bytes, size: int) -> None:
        try:
            await self._answer_once(call, digest)
        finally:
            self._bytes_under_way -= size

    async def _answer_once(self, call: Call, digest: bytes) -> None:
        first = self._under_way.get(call.message_id)
        if first is not None and first.digest == digest:
            await self._reply_with(await asyncio.shield(first.answer))
            return
        text = self._answered.find(call.message_id, digest, clock.monotonic_s())
        if text is not None:
            await self._reply_with(text)
            return
        under_way = _UnderWay(digest=digest, answer=asyncio.get_running_loop().create_future())
        if call.action not in _WITHOUT_EFFECT:
            self._under_way[call.message_id] = under_way
        try:
            text, reply = await self._perform(call)
            under_way.answer.set_result(text)
        finally:
            under_way.answer.cancel()
            # Gone from there when the connection is another one by now, or the id was used for another call.
            remember = self._under_way.get(call.message_id) is under_way
            if remember:
                del self._under_way[call.message_id]
        if remember:
            self._answered.remember(call.message_id, digest, text, clock.monotonic_s())
        await self._reply_with(text)
        if reply is not None and reply.after is not None:
            try:
                await reply.after()
            except NotDelivered as failure:
                logger.info("After %s: %s", call.action, failure.code)

    async def _perform(self, call: Call) -> Answer:
        """Carry a call out and write its answer."""
        try:
            reply = await self._carry_out(call)
            schemas.check_result(call.action, reply.payload)
        except CallRefused as refusal:
            return frames.encode(
                CallError(message_id=call.message_id, code=refusal.code, description=str(refusal))
            ), None
        except Exception:
            # The outermost frame of a call: whatever went wrong, the backend gets an answer.
            logger.exception("%s could not be carried out", call.action)
            return frames.encode(CallError(message_id=call.message_id, code=ErrorCode.INTERNAL_ERROR)), None
        return frames.encode(CallResult(message_id=call.message_id, payload=reply.payload)), reply

    async def _carry_out(self, call: Call) -> Reply:
        handler = HANDLERS.get(call.action)
        if handler is None:
            raise CallRefused(ErrorCode.NOT_IMPLEMENTED, f"{call.action[:50]} is not known")
        profile = feature_profiles.PROFILES[call.action]
        if profile is not None and profile not in await in_database(configuration.get_list, "SupportedFeatureProfiles"):
            reply = feature_profiles.reply_when_off(call.action)
            if reply is None:
                raise CallRefused(ErrorCode.NOT_SUPPORTED, f"the profile {profile} is off")
            return Reply(payload=reply)
        payload = _corrected(call)
        try:
            schemas.check_call(call.action, payload, lenient=True)
        except schemas.SchemaViolated as violation:
            self._note_invalid(f"{call.action}: {violation}")
            raise CallRefused(violation.code, str(violation)) from violation
        if call.action in _NOT_BEFORE_ACCEPTED and not self._link.state.registration.may_call:
            return status("Rejected")
        return await handler(Request(link=self._link, payload=payload, at=clock.now()))

    def _note_invalid(self, reason: str) -> None:
        """Leave an entry in the security log (security whitepaper, section 8), one for a whole burst."""
        now_s = clock.monotonic_s()
        if now_s < self._next_note_s:
            return
        self._next_note_s = now_s + _BURST_S

        async def note() -> None:
            await in_database(security_log.record, "InvalidMessages", at=clock.now(), tech_info=reason)

        self._tasks.spawn(note())

    async def _reply_with(self, text: str) -> None:
        if self._send is None:
            return
        try:
            await self._send(text)
        except NotConnected:
            return


def _corrected(call: Call) -> dict[str, object]:
    """Put right what backends are known to write otherwise (manuals: HeartBeat for Heartbeat)."""
    wanted = call.payload.get("requestedMessage")
    if call.action not in {"TriggerMessage", "ExtendedTriggerMessage"} or not isinstance(wanted, str):
        return call.payload
    names = {name.lower(): name for name in _TRIGGERS}
    return call.payload | {"requestedMessage": names.get(wanted.lower(), wanted)}


_TRIGGERS = (
    "BootNotification",
    "DiagnosticsStatusNotification",
    "FirmwareStatusNotification",
    "Heartbeat",
    "LogStatusNotification",
    "MeterValues",
    "SignChargePointCertificate",
    "StatusNotification",
)
