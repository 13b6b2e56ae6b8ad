"""What is due once a second whatever happens: expiries, lasting faults, the modem, and news whose bell was lost."""

import asyncio
from typing import TYPE_CHECKING

from django.db import DatabaseError
from django.db.models import Count, Max

from hardware.runtime import snapshot_publisher as publishing
from station import clock
from station.domain import connector as machine
from station.domain.faults import FaultCode
from station.models import ChargingProfileRow
from station.services import configuration, event_log

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

TICK_S = 1.0
# Bells are rarely lost, and looking costs the processor time of a charging station.
CATCH_UP_STEPS = 5
# A weak signal has to last before it is a fault, and to be better for as long before it is none (host.md, section 3).
WEAK_SIGNAL, GOOD_SIGNAL = 20, 30
# A fault that is not cleared in this time ends the session it interrupts (the car and the driver must be free to go).
FAULT_ENDS_SESSION_S = 60.0


class Periodic:
    """Steps once a second; a step that fails for want of a database is made up for by the next one."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station
        self._faulted_since: dict[int, float] = {}
        self._configuration: configuration.Watch | None = None
        self._profiles: object = None
        self._steps = 0

    async def run(self) -> None:
        """Step for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.step()

    async def step(self) -> None:
        """Do what is due."""
        station = self._station
        await station.reservations_cache.expire()
        for point in station.points.values():
            await self._end_what_stays_faulted(point)
        if station.journal_broken:
            await self._try_journal()
        self._judge_signal()
        for point in station.points.values():
            if point.equipment.is_news:
                point.equipment.is_news = False
                await station.write(publishing.store_equipment, point)
        self._steps += 1
        if self._steps % CATCH_UP_STEPS == 0:
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Apply what other processes wrote, should their bell have been lost."""
        if await self._station.write(self._has_news):
            await self._station.read_again()
        await self._station.start_responses.catch_up()

    def _has_news(self) -> bool:
        if self._configuration is None:
            self._configuration = configuration.Watch()
        changed = bool(self._configuration.changes())
        profiles = ChargingProfileRow.objects.aggregate(Count("id"), Max("id"), Max("installed_at"))
        changed |= self._profiles is not None and profiles != self._profiles
        self._profiles = profiles
        return changed

    async def _end_what_stays_faulted(self, point: "ChargingPoint") -> None:
        if not (point.blocked or self._station.blocked):
            self._faulted_since.pop(point.number, None)
            return
        now_s = clock.monotonic_s()
        since_s = self._faulted_since.setdefault(point.number, now_s)
        if now_s - since_s >= FAULT_ENDS_SESSION_S and point.state.has_session:
            await point.handle(machine.StopRequested(reason="Other"))

    async def _try_journal(self) -> None:
        try:
            await self._station.database(event_log.log, "journal.writable", at=clock.now())
        except (DatabaseError, OSError):
            return
        self._station.journal_broken = False
        self._station.set_fault("journal", frozenset())

    def _judge_signal(self) -> None:
        modem = self._station.host.modem.status()
        signal = modem.signal if modem else None
        weak = FaultCode.WEAK_SIGNAL in self._station.faults.get("modem", frozenset())
        if signal is not None and signal < (GOOD_SIGNAL if weak else WEAK_SIGNAL):
            self._station.set_fault("modem", frozenset({FaultCode.WEAK_SIGNAL}))
        else:
            self._station.set_fault("modem", frozenset())
