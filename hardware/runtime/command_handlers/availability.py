"""Taking points into and out of service by command."""

from collections.abc import Mapping

from hardware.runtime.command_handlers.handler import ACCEPTED, Handler
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.state import StationState
from station.domain import connector as machine
from station.domain.commands import Command, Outcome, PrepareUpdate, Refusal, SetAvailability, Status, rejected
from station.domain.connector import Phase
from station.services import connectors
from station.services.connectors import Availability


class AvailabilityHandlers:
    """Availability as the operator sets it, and for the time of a software update."""

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
        self.handlers: dict[type[Command], Handler] = {
            SetAvailability: self._set_availability,
            PrepareUpdate: self._prepare_update,
        }

    async def _set_availability(self, command: SetAvailability, _origin: str) -> Outcome:
        if command.connector_id == 0:
            points = list(self._points.values())
        elif (point := self._points.get(command.connector_id)) is not None:
            points = [point]
        else:
            return rejected(Refusal.CONNECTOR_UNKNOWN)
        scheduled = False
        for point in points:
            if point.schedule_availability(operative=command.operative):
                scheduled = True
                continue
            if not command.operative and point.state.phase is Phase.AUTHORIZED:
                await point.handle(machine.StopRequested(reason="Local"))
            await point.actuator.set_available(command.operative)
        of_station = command.operative if command.connector_id == 0 else self._state.operative
        # Durable before it is confirmed.
        await self._records.execute(
            connectors.store_availability,
            [
                Availability(number=0, operative=of_station),
                *(each.availability for each in self._points.values()),
            ],
        )
        self._state.set_operative(operative=of_station)
        await self._reservations.end_hopeless()
        for point in points:
            point.tell_changed()
        return Outcome(status=Status.SCHEDULED) if scheduled else ACCEPTED

    async def _prepare_update(self, command: PrepareUpdate, _origin: str) -> Outcome:
        for point in self._points.values():
            point.set_update_pending(pending=command.begin)
        return ACCEPTED
