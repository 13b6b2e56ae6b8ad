"""Calls of the Reservation profile (OCPP 1.6 sections 5.1 and 5.13); the control loop decides."""

from ocpp_client.incoming.handlers.base import CallRefused, Handler, Reply, Request, status
from ocpp_client.rpc.frames import ErrorCode
from station.domain import commands


async def reserve_now(request: Request) -> Reply:
    """Keep a connector (0: any) for a card."""
    payload = request.payload
    expires_at = request.moment("expiryDate")
    if expires_at is None:
        raise CallRefused(ErrorCode.OCCURENCE_CONSTRAINT_VIOLATION, "expiryDate is missing")
    if payload["connectorId"] < 0:
        return status("Rejected")
    outcome = await request.submit(
        commands.Reserve(
            reservation_id=payload["reservationId"],
            connector_id=payload["connectorId"],
            id_tag=payload["idTag"],
            expires_at=expires_at.isoformat(),
            parent_id_tag=payload.get("parentIdTag") or "",
        )
    )
    # The control loop answers in the standard's words; without them nobody has looked at the request at all.
    return status(str(outcome.data.get("ocpp", "Rejected")))


async def cancel_reservation(request: Request) -> Reply:
    """Give a reservation up."""
    outcome = await request.submit(commands.CancelReservation(reservation_id=request.payload["reservationId"]))
    return status("Accepted" if outcome.succeeded else "Rejected")


HANDLERS: dict[str, Handler] = {"ReserveNow": reserve_now, "CancelReservation": cancel_reservation}
