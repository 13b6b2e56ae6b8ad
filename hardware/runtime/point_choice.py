"""Which charging point a card or a remote start may use: usable, reserved for somebody else, or the one it means."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.state import StationState
from station import clock
from station.domain.commands import Refusal
from station.domain.connector import Phase
from station.domain.pilot import DEBOUNCE_S
from station.domain.reservations import Refusal as ReservedForOther
from station.domain.reservations import Reservation, may_start

# Two quick polls and the debounce of the pilot take about 80 ms; nobody at the reader notices twice that.
LOOK_S = 0.3
_PREFERENCE = (
    frozenset({Phase.PLUGGED, Phase.RESERVED}),
    frozenset({Phase.FINISHING}),
    frozenset({Phase.AVAILABLE}),
)


class PointChoice:
    """Looks at all points together, because a reservation of connector 0 concerns each of them."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        reservations: ReservationCache,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._reservations = reservations

    def refusal_at(self, point: ChargingPoint) -> Refusal | None:
        """Return why nobody can begin at this point now; None: somebody can."""
        if point.blocked or self._state.blocked:
            return Refusal.CONNECTOR_FAULTED
        if not point.overlay.operative:
            return Refusal.CONNECTOR_UNAVAILABLE
        if point.busy:
            return Refusal.CONNECTOR_OCCUPIED
        if self._records.failed:
            return Refusal.RECORDS_UNWRITABLE
        return None

    def waiting(self, points: Iterable[ChargingPoint]) -> list[ChargingPoint]:
        """Return the points where a car waits for a card."""
        return [each for each in points if each.waits_for_card and self.refusal_at(each) is None]

    async def look(self, points: Sequence[ChargingPoint]) -> None:
        """Look at the plugs before the card is understood.

        A cable may have been plugged in or pulled since the last poll, and what a card means depends on it. A silent
        board, or one that is busy ending a session, is not waited for long.
        """
        asked_s = clock.monotonic_s()
        for point in points:
            point.poll_faster()

        def is_settled(point: ChargingPoint) -> bool:
            seen = point.status is not None and point.status.read_at_s >= asked_s + DEBOUNCE_S
            return (seen and point.pilot.doubt is None) or not point.equipment.controller_ok

        while clock.monotonic_s() - asked_s < LOOK_S and not all(is_settled(each) for each in points):
            await asyncio.sleep(LOOK_S / 30)

    def choose(self, points: Sequence[ChargingPoint], id_tag: str, parent_id_tag: str = "") -> ChargingPoint | Refusal:
        """Pick the point a card means.

        The car at the point that is reserved for it, the car that waits longest, then a car that stayed after its
        session, then a free socket; of each kind those first that are not reserved for somebody else. A car that waited
        longer than ConnectionTimeOut has to be plugged in anew.
        """
        usable = [each for each in points if self.refusal_at(each) is None]
        reserved = [each for each in usable if each.state.phase is Phase.RESERVED]
        for each in reserved:
            if self.reservation_used(each.number, id_tag, parent_id_tag) is not None:
                return each
        for phases in _PREFERENCE:
            found = [
                each
                for each in usable
                if each.state.phase in phases and (each.state.phase is not Phase.FINISHING or each.state.car)
            ]
            found = [each for each in found if self._may_open(each, id_tag, parent_id_tag)] or found
            if found:
                waits = Phase.PLUGGED in phases
                return min(found, key=lambda each: (each.phase_since if waits else 0, each.number))
        if any(each.state.phase is Phase.LAPSED for each in usable):
            return Refusal.REPLUG_NEEDED
        reasons = [reason for each in points if (reason := self.refusal_at(each)) is not None]
        return reasons[0] if len(set(reasons)) == 1 else Refusal.NO_CONNECTOR_FREE

    # --- reservations

    def _may_open(self, point: ChargingPoint, id_tag: str, parent_id_tag: str) -> bool:
        refusal = self.reserved_for_other(point, id_tag, parent_id_tag)
        return refusal is None or refusal.ask_parent

    def reserved_for_other(self, point: ChargingPoint, id_tag: str, parent_id_tag: str) -> ReservedForOther | None:
        """Return the refusal of a card at a point that is reserved for somebody else."""
        found = self._reservation(point.number, id_tag, parent_id_tag)
        return found if isinstance(found, ReservedForOther) else None

    def reservation_used(self, number: int, id_tag: str, parent_id_tag: str) -> int | None:
        """Return the reservation that a session of this card at this point redeems."""
        found = self._reservation(number, id_tag, parent_id_tag)
        return found.reservation_id if isinstance(found, Reservation) else None

    def needs_group(self, points: Iterable[ChargingPoint], id_tag: str) -> bool:
        """Return whether only the card's group, which is not known here, could open a reserved point (section 5.13)."""
        refusals = [self.reserved_for_other(each, id_tag, "") for each in points]
        return any(refusal is not None and refusal.ask_parent for refusal in refusals)

    def _reservation(self, number: int, id_tag: str, parent_id_tag: str) -> Reservation | ReservedForOther | None:
        return may_start(
            id_tag,
            parent_id_tag or None,
            number,
            reservations=self._reservations.all,
            free_connectors=self._reservations.usable_points,
            now=clock.now(),
        )
