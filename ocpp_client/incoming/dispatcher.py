"""Answering the backend's calls: each exactly once, concurrently with our own, and never a second effect."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import DatabaseError
from ocpp.exceptions import (
    InternalError,
    NotImplementedError,  # noqa: A004 – the package's name
    NotSupportedError,
    OCPPError,
)
from ocpp.v16 import call_result
from ocpp.v16.enums import Action, RemoteStartStopStatus

from ocpp_client.connection.state import ConnectionState, link_of_call
from ocpp_client.database import in_database
from ocpp_client.incoming import feature_profiles
from ocpp_client.incoming.answered_calls import AnsweredCalls, fingerprint
from ocpp_client.incoming.load import Load
from ocpp_client.incoming.routing import Route, payload_of_response
from ocpp_client.rpc import frames, schemas
from ocpp_client.rpc.calls import NotConnected, NotDelivered, Send
from ocpp_client.rpc.frames import Call, CallError, CallResult
from ocpp_client.rpc.messages import arguments_of
from ocpp_client.storage import StorageWatch
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.link_security import LinkSecurity
from station.services import configuration, security_log

logger = logging.getLogger(__name__)

# Things done after their answers that wait for an answer of the backend themselves (TriggerMessage). They cannot keep
# the station from reading, since that answer would not be read either; a backend that wants more is refused.
MOST_FOLLOW_UPS = 500
_BURST_S = 1.0
# OCPP 1.6 section 4.2: not allowed while the registration is pending.
_WHEN_NOT_ACCEPTED: dict[str, Any] = {
    Action.remote_start_transaction: call_result.RemoteStartTransaction(RemoteStartStopStatus.rejected),
    Action.remote_stop_transaction: call_result.RemoteStopTransaction(RemoteStartStopStatus.rejected),
}
# Asking again does no harm, and a remembered answer might be out of date.
_WITHOUT_EFFECT = frozenset(
    {
        Action.get_configuration,
        Action.get_local_list_version,
        Action.get_composite_schedule,
        Action.get_installed_certificate_ids,
    }
)

# What is to be done after an answer.
FollowUp = Callable[[], Awaitable[Any]]
# The text of an answer, and what follows it.
Answer = tuple[str, FollowUp | None]


_TRIGGERS = {
    name.lower(): name
    for name in (
        "BootNotification",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "SignChargePointCertificate",
        "StatusNotification",
    )
}


@dataclass(frozen=True, kw_only=True)
class _UnderWay:
    digest: bytes
    answer: asyncio.Future[str]


class Dispatcher:
    """Takes the calls that arrive over the connection that stands."""

    def __init__(self, state: ConnectionState, routes: Mapping[str, Route], storage: StorageWatch) -> None:
        self._state = state
        self._routes = routes
        self._storage = storage
        self._send: Send | None = None
        self._answered = AnsweredCalls()
        self._under_way: dict[str, _UnderWay] = {}
        self._load = Load()
        self._follow_ups = 0
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

    async def room(self) -> None:
        """Wait until more can be taken: what waits on the wire meanwhile is the backend's memory, not ours."""
        await self._load.room()

    def take_broken(self, broken: frames.FrameMalformed) -> None:
        """Note a frame that could not be read, and answer it where it deserves an answer."""
        self._note_invalid(str(broken))
        answer = broken.answer
        if answer is not None and not self._state.registration.must_be_silent:
            self._refuse(answer)

    def take(self, call: Call, text: str | bytes) -> None:
        """Answer a call, which came as this text."""
        if self._state.registration.must_be_silent:
            logger.info("%s stays unanswered: the backend has rejected this station", call.action[:50])
            return
        digest, size = fingerprint(text)
        route = self._routes.get(call.action)
        if route is not None and route.after is not None and self._follow_ups >= MOST_FOLLOW_UPS:
            self._refuse(CallError.of(call.message_id, InternalError("too many calls")))
            return
        self._load.add(size)
        self._tasks.spawn(self._answer(call, digest, size, self._state.link, self._send))

    def _refuse(self, refusal: CallError) -> None:
        text = frames.encode(refusal)
        self._load.add(len(text))
        self._tasks.spawn(self._reply_with_refusal(text, self._send))

    async def _reply_with_refusal(self, text: str, send: Send | None) -> None:
        try:
            await self._reply_with(text, send)
        finally:
            self._load.remove(len(text))

    async def _answer(self, call: Call, digest: bytes, size: int, link: LinkSecurity, send: Send | None) -> None:
        link_of_call.set(link)
        try:
            follow_up = await self._answer_once(call, digest, send)
        finally:
            self._load.remove(size)
        if follow_up is None:
            return
        self._follow_ups += 1
        try:
            await follow_up()
        except NotDelivered as failure:
            logger.info("After %s: %s", call.action, failure.code)
        finally:
            self._follow_ups -= 1

    async def _answer_once(self, call: Call, digest: bytes, send: Send | None) -> FollowUp | None:
        first = self._under_way.get(call.message_id)
        if first is not None and first.digest == digest:
            await self._reply_with(await asyncio.shield(first.answer), send)
            return None
        text = self._answered.find(call.message_id, digest, clock.monotonic_s())
        if text is not None:
            await self._reply_with(text, send)
            return None
        under_way = _UnderWay(digest=digest, answer=asyncio.get_running_loop().create_future())
        if call.action not in _WITHOUT_EFFECT:
            self._under_way[call.message_id] = under_way
        try:
            text, follow_up = await self._perform(call)
            under_way.answer.set_result(text)
        finally:
            under_way.answer.cancel()
            # Gone from there when the connection is another one by now, or the id was used for another call.
            remember = self._under_way.get(call.message_id) is under_way
            if remember:
                del self._under_way[call.message_id]
        if remember:
            self._answered.remember(call.message_id, digest, text, clock.monotonic_s())
        await self._reply_with(text, send)
        return follow_up

    async def _perform(self, call: Call) -> Answer:
        """Carry a call out and write its answer."""
        try:
            response, follow_up = await self._carry_out(call)
            payload = payload_of_response(call.action, response)
            schemas.check_result(call.action, payload)
        except OCPPError as refusal:
            return frames.encode(CallError.of(call.message_id, refusal)), None
        except DatabaseError as error:
            self._storage.report(error, call.action)
            return frames.encode(CallError.of(call.message_id, InternalError(f"nothing was changed: {error}"))), None
        except Exception:
            # The outermost frame of a call: whatever went wrong, the backend gets an answer.
            logger.exception("%s could not be carried out", call.action)
            return frames.encode(CallError.of(call.message_id, InternalError(""))), None
        return frames.encode(CallResult(message_id=call.message_id, payload=payload)), follow_up

    async def _carry_out(self, call: Call) -> tuple[Any, FollowUp | None]:
        route = self._routes.get(call.action)
        if route is None:
            raise NotImplementedError(f"{call.action[:50]} is not known")
        profile = feature_profiles.PROFILES[call.action]
        if profile is not None and profile not in await in_database(configuration.get_list, "SupportedFeatureProfiles"):
            response = feature_profiles.response_when_off(call.action)
            if response is None:
                raise NotSupportedError(f"the profile {profile} is off")
            return response, None
        payload = _corrected(call)
        try:
            schemas.check_call(call.action, payload, lenient=True)
        except OCPPError as violation:
            self._note_invalid(f"{call.action}: {violation.description}")
            raise
        if call.action in _WHEN_NOT_ACCEPTED and not self._state.registration.may_call:
            return _WHEN_NOT_ACCEPTED[call.action], None
        arguments = arguments_of(call.action, payload)
        response = await route.on(**arguments, at=clock.now())
        return response, route.after and partial(route.after, **arguments, response=response)

    def _note_invalid(self, reason: str) -> None:
        """Leave an entry in the security log (security whitepaper, section 8), one for a whole burst."""
        now_s = clock.monotonic_s()
        if now_s < self._next_note_s:
            return
        self._next_note_s = now_s + _BURST_S

        async def note() -> None:
            await in_database(security_log.record, "InvalidMessages", at=clock.now(), tech_info=reason)

        self._tasks.spawn(note())

    async def _reply_with(self, text: str, send: Send | None) -> None:
        """Send an answer over the connection its call came over, as long as that one stands."""
        if send is None or send is not self._send:
            return
        try:
            await send(text)
        except NotConnected:
            return


def _corrected(call: Call) -> dict[str, object]:
    """Put right what backends are known to write otherwise (manuals: HeartBeat for Heartbeat)."""
    wanted = call.payload.get("requestedMessage")
    if call.action not in {Action.trigger_message, Action.extended_trigger_message} or not isinstance(wanted, str):
        return call.payload
    return call.payload | {"requestedMessage": _TRIGGERS.get(wanted.lower(), wanted)}
