"""Making and cancelling reservations by command."""

from collections.abc import Mapping

from hardware.runtime.command_handlers.handler import ACCEPTED, Handler
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.state import StationState
from station import clock
from station.domain.commands import CancelReservation, Command, Outcome, Refusal, Reserve, Status, rejected
from station.domain.connector import Phase
from station.domain.moments import from_wire
from station.domain.reservations import Condition, Reservation, ReserveStatus, check_reserve
from station.services import configuration, reservations


class ReservationHandlers:
    """Reservations of the backend."""

    def __init__(
        self, points: Mapping[int, ChargingPoint], state: StationState, records: RecordStore, cache: ReservationCache
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._cache = cache
        self.handlers: dict[type[Command], Handler] = {
            Reserve: self._reserve,
            CancelReservation: self._cancel,
        }

    async def _reserve(self, command: Reserve, _origin: str) -> Outcome:
        try:
            expires_at = from_wire(command.expires_at)
        except ValueError:
            return rejected(Refusal.MALFORMED)
        wanted = Reservation(
            reservation_id=command.reservation_id,
            connector_id=command.connector_id,
            id_tag=command.id_tag,
            expires_at=expires_at,
            parent_id_tag=command.parent_id_tag or None,
        )
        zero_supported = await self._records.execute(configuration.get_bool, "ReserveConnectorZeroSupported")
        status = check_reserve(
            wanted,
            enabled=True,
            zero_supported=zero_supported,
            conditions=self._conditions(),
            reservations=self._cache.all,
            now=clock.now(),
        )
        if status is not ReserveStatus.ACCEPTED:
            return Outcome(status=Status.REJECTED, reason=Refusal.CONNECTOR_OCCUPIED, data={"ocpp": status.value})
        await self._records.execute(reservations.store, wanted)
        await self._cache.reload()
        return Outcome(status=Status.ACCEPTED, data={"ocpp": status.value})

    def _conditions(self) -> dict[int, Condition]:
        conditions = {0: Condition.FAULTED if self._state.blocked else Condition.FREE}
        for point in self._points.values():
            if point.blocked:
                conditions[point.number] = Condition.FAULTED
            elif point.state.phase not in {Phase.AVAILABLE, Phase.RESERVED}:
                conditions[point.number] = Condition.OCCUPIED
            elif not point.operative:
                conditions[point.number] = Condition.UNAVAILABLE
            else:
                conditions[point.number] = Condition.FREE
        return conditions

    async def _cancel(self, command: CancelReservation, _origin: str) -> Outcome:
        # One that is over cannot be cancelled, even if nobody has cleared it away yet.
        await self._records.execute(reservations.delete_expired, clock.now())
        removed = await self._records.execute(reservations.delete, [command.reservation_id])
        if not removed:
            return rejected(Refusal.MALFORMED)
        await self._cache.reload()
        return ACCEPTED
