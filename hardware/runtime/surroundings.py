"""What a charging point asks of the station around it, so that it can be tested without one."""

from typing import TYPE_CHECKING, Any, Protocol

from hardware.runtime.database import DatabaseThread
from station.domain.connector import Permission, Timer
from station.domain.limits import EffectiveLimit

if TYPE_CHECKING:
    from hardware.runtime.point import ChargingPoint


class JournalUnwritableError(Exception):
    """The session could not be written down."""


class Surroundings(Protocol):
    """What a charging point asks of the station around it."""

    database: DatabaseThread

    def limit_of(self, point: "ChargingPoint") -> EffectiveLimit:
        """Compute this point's limit anew, with its session counted in."""

    def changed(self, point: "ChargingPoint") -> None:
        """Hear that phase, session or faults of a point have changed."""

    def seconds(self, timer: Timer) -> float:
        """Tell how long a timer runs; 0: for ever."""

    def stop_selections(self) -> tuple[Any, ...]:
        """Tell the measurands StopTransaction carries."""

    def reservation_used(self, point: "ChargingPoint", permission: Permission) -> int | None:
        """Tell which reservation a session that begins now redeems."""

    def outbox_filled(self) -> None:
        """Hear that a message for the backend was written."""

    async def session_written(self) -> None:
        """Hear that a session was begun or ended in the journal."""

    def journal_failed(self, error: Exception) -> None:
        """Hear that the journal cannot be written."""

    def car_arrived(self, point: "ChargingPoint") -> None:
        """Hear that a car was plugged in and waits for a card."""
