"""The reservations, kept at hand by the control loop (OCPP 1.6 sections 3.11 and 5.13)."""

from collections.abc import Mapping

from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.state import StationState
from station import clock
from station.domain.reservations import Reservation, expired, reserved_connectors
from station.services import reservations


class ReservationCache:
    """Mirrors the table and lets the charging points show what is reserved."""

    def __init__(self, points: Mapping[int, ChargingPoint], state: StationState, records: RecordStore) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._all: tuple[Reservation, ...] = ()

    @property
    def all(self) -> tuple[Reservation, ...]:
        """The reservations that hold."""
        return self._all

    @property
    def usable_points(self) -> list[int]:
        """The points at which a session could begin now."""
        return [
            point.number
            for point in self._points.values()
            if not (point.blocked or self._state.blocked) and point.overlay.operative and not point.busy
        ]

    def on(self, number: int) -> Reservation | None:
        """Return the reservation of one charging point."""
        return next((each for each in self._all if each.connector_id == number), None)

    async def reload(self) -> None:
        """Read the table anew; one that cannot be read leaves what is known."""
        present = await self._records.attempt(reservations.present, clock.now())
        if present is None:
            return
        self._all = present
        self._show()

    def point_changed(self, _number: int) -> None:
        """See which points are kept: with each that is taken, a reservation of connector 0 has fewer to keep."""
        self._show()

    def _show(self) -> None:
        reserved = reserved_connectors(self._all, self.usable_points, clock.now())
        for point in self._points.values():
            point.set_reserved(reserved=point.number in reserved)

    async def expire(self) -> None:
        """End what is over."""
        if expired(self._all, clock.now()):
            await self._records.attempt(reservations.delete_expired, clock.now())
            await self.reload()

    async def end_hopeless(self) -> None:
        """End the reservations of what is out of order or out of service."""
        out = {point.number for point in self._points.values() if point.blocked or not point.overlay.operative}
        if self._state.blocked or not self._state.operative:
            out |= {0, *self._points}
        ended = [each.reservation_id for each in self._all if each.connector_id in out]
        if ended:
            await self._records.attempt(reservations.delete, ended)
            await self.reload()
