"""Calls of the Reservation profile (OCPP 1.6 sections 5.1 and 5.13); the control loop decides."""

from datetime import datetime

from ocpp.exceptions import OccurenceConstraintViolationError
from ocpp.v16 import call_result
from ocpp.v16.enums import Action, CancelReservationStatus, ReservationStatus

from ocpp_client.incoming.handlers.requests import Commands, check_date_time
from ocpp_client.incoming.routing import on
from station.domain import commands


class ReservationHandlers:
    """Keeps connectors for cards."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    @on(Action.reserve_now)
    async def on_reserve_now(
        self,
        *,
        connector_id: int,
        expiry_date: str,
        id_tag: str,
        reservation_id: int,
        parent_id_tag: str | None = None,
        at: datetime,
    ) -> call_result.ReserveNow:
        """Keep a connector (0: any) for a card."""
        expires_at = check_date_time("expiryDate", expiry_date)
        if expires_at is None:
            raise OccurenceConstraintViolationError("expiryDate is missing")
        if connector_id < 0:
            return call_result.ReserveNow(ReservationStatus.rejected)
        outcome = await self._commands.submit(
            commands.Reserve(
                reservation_id=reservation_id,
                connector_id=connector_id,
                id_tag=id_tag,
                expires_at=expires_at.isoformat(),
                parent_id_tag=parent_id_tag or "",
            ),
            at,
        )
        # The control loop answers in the standard's words; without them nobody has looked at the request at all.
        return call_result.ReserveNow(ReservationStatus(outcome.data.get("ocpp", ReservationStatus.rejected)))

    @on(Action.cancel_reservation)
    async def on_cancel_reservation(self, *, reservation_id: int, at: datetime) -> call_result.CancelReservation:
        """Give a reservation up."""
        outcome = await self._commands.submit(commands.CancelReservation(reservation_id=reservation_id), at)
        return call_result.CancelReservation(
            CancelReservationStatus.accepted if outcome.succeeded else CancelReservationStatus.rejected
        )
