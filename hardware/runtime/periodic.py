"""What is due once a second whatever happens: expiries, lasting faults, the modem, and messages that were lost."""

import asyncio
from collections.abc import Mapping
from typing import Protocol

from django.conf import settings

from hardware.runtime.clock_watch import ClockWatch
from hardware.runtime.notices import Notices
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.state import StationState
from station import clock
from station.concurrency import until_tick_s
from station.domain import connector as machine
from station.domain.faults import FaultCode
from station.domain.mobile import SignalWatch
from station.host import ModemPort
from station.services import connectors, database_file

TICK_S = 1.0
# Messages are rarely lost, and looking costs the processor time of a charging station.
CATCH_UP_STEPS = 5
# A fault that is not cleared in this time ends the session it interrupts (the car and the driver must be free to go).
FAULT_ENDS_SESSION_S = 60.0


class Cars(Protocol):
    """Knows the cars that need no card."""

    def look_at_cars(self) -> None:
        """See whether a car that could not begin may begin now."""


class Periodic:
    """Steps once a second; a step that fails for want of a database is made up for by the next one."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        *,
        reservations: ReservationCache,
        notices: Notices,
        cars: Cars,
        modem: ModemPort,
        clock_watch: ClockWatch,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._reservations = reservations
        self._notices = notices
        self._cars = cars
        self._modem = modem
        self._signal = SignalWatch(holds_s=settings.SIGNAL_HOLDS_S)
        self._clock_watch = clock_watch
        self._faulted_since: dict[int, float] = {}
        self._steps = 0

    async def run(self) -> None:
        """Step for ever."""
        while True:
            await asyncio.sleep(until_tick_s(TICK_S, clock.monotonic_s()))
            await self.step()

    async def step(self) -> None:
        """Do what is due."""
        await self._clock_watch.step()
        await self._reservations.expire()
        for point in self._points.values():
            await self._end_what_stays_faulted(point)
        await self._records.probe()
        self._cars.look_at_cars()
        self._judge_signal()
        for point in self._points.values():
            if point.take_equipment_news():
                found = point.equipment
                await self._records.attempt(
                    connectors.store_devices, point.number, controller=found.controller, meter=found.meter
                )
        self._steps += 1
        if self._steps % CATCH_UP_STEPS == 0:
            self._look_for_replaced_database()
            await self._notices.catch_up()

    async def _end_what_stays_faulted(self, point: ChargingPoint) -> None:
        if not (point.blocked or self._state.blocked):
            self._faulted_since.pop(point.number, None)
            return
        now_s = clock.monotonic_s()
        since_s = self._faulted_since.setdefault(point.number, now_s)
        if now_s - since_s >= FAULT_ENDS_SESSION_S and point.state.has_session:
            await point.handle(machine.StopRequested(reason="Other"))

    def _judge_signal(self) -> None:
        is_weak = self._signal.judge(self._modem.status(), now_s=clock.monotonic_s())
        self._state.set_faults("modem", frozenset({FaultCode.WEAK_SIGNAL}) if is_weak else frozenset())

    def _look_for_replaced_database(self) -> None:
        """Tell the backend, too, that settings and cards are gone, until somebody has taken the damaged file away."""
        was_replaced = bool(database_file.aside(settings.DATA))
        self._state.set_faults("database", frozenset({FaultCode.DATABASE_REPLACED}) if was_replaced else frozenset())
