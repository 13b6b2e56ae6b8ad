"""The reservations as the control loop keeps them at hand (OCPP 1.6 sections 3.11 and 5.13)."""

from typing import TYPE_CHECKING

from station import clock
from station.domain.reservations import Reservation, expired
from station.services import reservations

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop


class ReservationCache:
    """Mirrors the table and lets the charging points show what is reserved."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station
        self.all: tuple[Reservation, ...] = ()

    async def reload(self) -> None:
        """Read the table anew; one that cannot be read leaves what is known."""
        present = await self._station.write(reservations.present, clock.now())
        if present is None:
            return
        self.all = present
        reserved = {each.connector_id for each in present}
        for point in self._station.points.values():
            if point.reserved != (point.number in reserved):
                point.reserved = point.number in reserved
                self._station.changed(point)

    async def expire(self) -> None:
        """End what is over."""
        if expired(self.all, clock.now()):
            await self._station.write(reservations.delete_expired, clock.now())
            await self.reload()

    async def end_hopeless(self) -> None:
        """End the reservations of what is out of order or out of service."""
        station = self._station
        out = {point.number for point in station.points.values() if point.blocked or not point.overlay.operative}
        if station.blocked or not station.operative:
            out |= {0, *station.points}
        ended = [each.reservation_id for each in self.all if each.connector_id in out]
        if ended:
            await station.write(reservations.delete, ended)
            await self.reload()
