"""The backend's word on a running session: its number, its group, and what happens to a card it does not accept."""

from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from station import clock
from station.domain import connector as machine
from station.services import configuration, sessions

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

ACCEPTED = "Accepted"


class StartResponses:
    """Acts on StartTransaction.conf (OCPP 1.6 section 5.19, errata 3.17)."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station

    async def start_answered(self, data: dict[str, Any]) -> None:
        """Take what the OCPP process heard: session_id, transaction_id, status, parent."""
        point = self._point_of(data["session_id"])
        if point is None or point.session is None:
            return
        point.session.transaction_id = data.get("transaction_id")
        parent = data.get("parent") or ""
        if parent and not point.session.parent_id_tag:
            point.session.parent_id_tag = parent
            await self._station.write(sessions.store_parent, point.session.id, parent)
        self._station.publisher.refresh()
        if data["status"] != ACCEPTED:
            await self._not_accepted(point, data["status"])

    async def catch_up(self) -> None:
        """Find answers in the tables whose bell was lost."""
        for point in self._station.points.values():
            session = point.session
            if session is None or session.transaction_id is not None:
                continue
            answer = await self._station.write(sessions.answered_start, session.id)
            if answer is not None:
                transaction_id, status = answer
                await self.start_answered(
                    {"session_id": session.id, "transaction_id": transaction_id, "status": status}
                )

    async def stop_refused_session(self, point: "ChargingPoint") -> None:
        """End the session of a refused card, or take its energy, as StopTransactionOnInvalidId says."""
        session = point.session
        if session is None:
            return
        await self._station.write(sessions.store_refusal, session.id, clock.now(), None)
        # What cannot be read is taken as the stricter choice.
        if await self._station.write(configuration.get_bool, "StopTransactionOnInvalidId") is not False:
            point.kept_locked_for = session.id_tag
            await point.handle(machine.StopRequested(reason="DeAuthorized", keep_locked=True))
        else:
            session.suspended = True
            await self._station.apply_limits()

    async def _not_accepted(self, point: "ChargingPoint", status: str) -> None:
        session = point.session
        if session is None:
            return
        try:
            if await self._station.authorizer.contradicts_list(session.id_tag, status):
                await self._station.tell_list_conflict()
        except DatabaseError as error:
            self._station.journal_failed(error)
        allowed = await self._station.write(configuration.get_optional_int, "MaxEnergyOnInvalidId") or 0
        if allowed > 0 and point.register_wh is not None:
            session.energy_ceiling_wh = point.register_wh + allowed
            await self._station.write(sessions.store_refusal, session.id, clock.now(), session.energy_ceiling_wh)
        else:
            await self.stop_refused_session(point)

    def _point_of(self, session_id: int) -> "ChargingPoint | None":
        points = self._station.points.values()
        return next((each for each in points if each.session and each.session.id == session_id), None)
