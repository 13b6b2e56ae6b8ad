"""The backend's response to a StartTransaction: its number, its group, and what becomes of a card it refuses."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from django.db import DatabaseError

from hardware.runtime.authorizer import Authorizer
from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.session import RunningSession
from station import clock
from station.domain import connector as machine
from station.domain.authorization import AuthorizationStatus
from station.services import configuration, sessions
from station.services.messages import StartAnswered

_T = TypeVar("_T")

# A database that nobody holds up answers in milliseconds.
_DATABASE_ANSWERS_S = 1.0


class StartResponses:
    """Acts on StartTransaction.conf (OCPP 1.6 section 5.19, errata 3.17)."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        records: RecordStore,
        *,
        authorizer: Authorizer,
        limits: LimitLoop,
    ) -> None:
        self._points = points
        self._records = records
        self._authorizer = authorizer
        self._limits = limits

    async def take(self, message: StartAnswered) -> None:
        """Take the response that the OCPP process has received."""
        point = self._point_of(message.session_id)
        if point is None or point.session is None:
            # Told while the past is being recovered from, or too late: `catch_up` finds it in the tables.
            return
        session = point.session
        if message.transaction_id is not None:
            session.take_transaction_id(message.transaction_id)
        if message.status is not AuthorizationStatus.ACCEPTED and not session.refused:
            await self._take_refusal(point, message.status)
        parent = message.parent_id_tag or ""
        if session.join_group(parent):
            await self._records.attempt(sessions.store_parent, session.id, parent)
        point.tell_changed()
        if message.transaction_id is not None:
            # A start that was refused without a number is told again after the next boot: that may bring one.
            session.note_start_answered()

    async def catch_up(self) -> None:
        """Find responses in the tables whose message was lost."""
        for point in self._points.values():
            session = point.session
            if session is None or session.start_is_answered or session.ending:
                continue
            found = await self._records.attempt(sessions.answered_start, session.id)
            if found is None:
                continue
            transaction_id, status = found
            if transaction_id is not None or not session.refused:
                await self.take(StartAnswered(session_id=session.id, transaction_id=transaction_id, status=status))

    async def stop_refused_session(self, point: ChargingPoint) -> None:
        """End the session of a refused card, or take its energy, as StopTransactionOnInvalidId says."""
        session = point.session
        if session is None:
            return
        if session.refused:
            written = self._records.attempt(sessions.end_allowance, session.id)
        else:
            session.refuse(ceiling_wh=None)
            written = self._records.attempt(sessions.store_refusal, session.id, clock.now(), None)
        await self._without_energy_if_slow(session, written)
        # What cannot be read is taken as the stricter choice.
        stops = self._records.attempt(configuration.get_bool, "StopTransactionOnInvalidId")
        stopping = await self._without_energy_if_slow(session, stops) is not False
        if point.session is not session:
            return
        if stopping:
            point.keep_locked_for(session.id_tag)
            await point.handle(machine.StopRequested(reason="DeAuthorized", keep_locked=True))
        else:
            session.suspend()
            await self._limits.apply()

    async def _take_refusal(self, point: ChargingPoint, status: AuthorizationStatus) -> None:
        session = point.session
        if session is None:
            return
        try:
            contradicts = self._authorizer.contradicts_list(session.id_tag, status)
            if await self._without_energy_if_slow(session, contradicts):
                self._authorizer.report_list_conflict()
        except DatabaseError as error:
            self._records.report_failure(error)
        reading = self._records.attempt(configuration.get_optional_int, "MaxEnergyOnInvalidId")
        allowed = await self._without_energy_if_slow(session, reading) or 0
        if allowed > 0 and point.register_wh is not None:
            session.release()
            ceiling_wh = point.register_wh + allowed
            session.refuse(ceiling_wh=ceiling_wh)
            await self._records.attempt(sessions.store_refusal, session.id, clock.now(), ceiling_wh)
        else:
            await self.stop_refused_session(point)

    async def _without_energy_if_slow(self, session: RunningSession, work: Coroutine[Any, Any, _T]) -> _T:
        """Wait for the database; a refused card draws nothing for as long as another process may hold it."""
        task = asyncio.create_task(work)
        done, _ = await asyncio.wait({task}, timeout=_DATABASE_ANSWERS_S)
        if not done and not session.suspended:
            session.suspend()
            await self._limits.apply()
        return await task

    def _point_of(self, session_id: int) -> ChargingPoint | None:
        points = self._points.values()
        return next((each for each in points if each.session and each.session.id == session_id), None)
