"""When which meter values are recorded for the backend (OCPP 1.6 sections 3.16 and 4.7).

The OCPP process is not woken for them: it looks for commits once a second, and a wake-up for each sample cost more than
the message itself.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from hardware.runtime.parameters import Parameters
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.meter_values import (
    ReadingContext,
    Sample,
    meter_value,
    next_aligned,
    next_sampled,
)
from station.domain.ports import DeviceFailed, MeterReading
from station.domain.units import PAUSE, WattHour
from station.host import ClockPort
from station.services import sessions

# A reading younger than this is taken for a sample; an older one is read anew.
FRESH_S = 0.7
LONGEST_SLEEP = timedelta(seconds=30)
# A sample that could not be taken so long is missed; a younger one is taken late rather than lost.
LATEST = timedelta(seconds=3)


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """When one charging point is sampled for one purpose; `origin` None: the clock's own grid."""

    number: int
    context: ReadingContext
    interval_s: int
    origin: datetime | None = None

    def after(self, moment: datetime) -> datetime:
        """Return the next moment of the grid; there is one, as no grid is made for an interval of 0."""
        if self.origin is None:
            following = next_aligned(moment, self.interval_s)
        else:
            following = next_sampled(self.origin, moment, self.interval_s)
        return following or moment + LONGEST_SLEEP


class Sampler:
    """Records samples on the grid of each transaction and on the clock's grid; missed ones are not made up for."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        parameters: Parameters,
        records: RecordStore,
        *,
        wall_clock: ClockPort,
    ) -> None:
        self._points = points
        self._parameters = parameters
        self._records = records
        self._wall_clock = wall_clock
        self._wake = asyncio.Event()
        # The next moment of every grid; a moment that has come is sampled even when something else was being done.
        self._next: dict[_Grid, datetime] = {}

    def wake(self) -> None:
        """Look at intervals and sessions anew."""
        self._wake.set()

    def point_changed(self, _number: int) -> None:
        """Look anew: a session may have begun or ended."""
        self.wake()

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            now = clock.now()
            due = self._take_due(now)
            for grid, moment in sorted(due.items(), key=lambda item: item[1]):
                await self._sample(self._points[grid.number], moment, grid.context)
            if due:
                continue
            moment = min(self._next.values(), default=now + LONGEST_SLEEP)
            self._wake.clear()
            # The moment may come sooner: nobody wakes a sleeper when the clock is set.
            await wait_or_timeout(self._wake, max(min(moment - now, LONGEST_SLEEP).total_seconds(), 0))

    def _take_due(self, now: datetime) -> dict[_Grid, datetime]:
        """Take the moments that have come, one for each grid, and put the grid's next one in their place."""
        due: dict[_Grid, datetime] = {}
        following: dict[_Grid, datetime] = {}
        for grid in self._grids():
            moment = self._next.get(grid)
            if moment is None or not now - LATEST <= moment <= now + timedelta(seconds=grid.interval_s):
                # A new grid, or a clock that was set: what was missed is not made up for.
                moment = grid.after(now)
            if moment <= now:
                due[grid] = moment
                # Not after `now`: a wall clock that lags behind the clock that woke us would name this moment again.
                moment = grid.after(moment)
            following[grid] = moment
        self._next = following
        return due

    def _grids(self) -> Iterator[_Grid]:
        schedule = self._parameters.meter_schedule
        for point in self._points.values():
            if schedule.aligned and schedule.aligned_interval_s > 0 and self._wall_clock.is_trustworthy():
                yield _Grid(
                    number=point.number, context=ReadingContext.SAMPLE_CLOCK, interval_s=schedule.aligned_interval_s
                )
            if (
                point.session is not None
                and (schedule.sampled or schedule.stop_sampled)
                and schedule.sample_interval_s > 0
            ):
                yield _Grid(
                    number=point.number,
                    context=ReadingContext.SAMPLE_PERIODIC,
                    interval_s=schedule.sample_interval_s,
                    origin=point.session.started_at,
                )

    async def _sample(self, point: ChargingPoint, at: datetime, context: ReadingContext) -> None:
        session = point.session
        if session is None and context is ReadingContext.SAMPLE_PERIODIC:
            return
        if session is not None and session.ending:
            return
        reading = await self._fresh(point)
        if reading is None or (session is not None and session.ending):
            return
        if session is not None and not session.is_measured_by(point.meter_serial):
            # Its registers have nothing to do with those told before.
            return
        schedule = self._parameters.meter_schedule
        clocked = context is ReadingContext.SAMPLE_CLOCK
        sample = Sample(
            at=at,
            reading=reading,
            context=context,
            offered=point.status.offered if point.status and point.status.pwm_on else PAUSE,
            interval_energy=self._interval_energy(point, clocked=clocked, register=reading.import_energy),
        )
        written = await self._records.attempt(
            sessions.record_meter_values,
            connector_id=point.number,
            session_id=session.id if session else None,
            context=context,
            at=clock.stamp().moved_to(at),
            register=reading.import_energy,
            told=meter_value(sample, schedule.aligned if clocked else schedule.sampled),
            kept=meter_value(sample, schedule.stop_aligned if clocked else schedule.stop_sampled),
            limited_by=session.limited_by if session else {},
        )
        if written:
            # What is not written down is told with the next sample.
            if clocked:
                point.take_aligned_register(reading.import_energy)
            if session is not None:
                session.sample_is_written(reading.import_energy, periodic=not clocked)

    def _interval_energy(self, point: ChargingPoint, *, clocked: bool, register: WattHour) -> WattHour | None:
        """Return what has flowed since the last sample of this context (errata 3.78); None where there was none."""
        if not clocked:
            return point.session.energy_since_sample(register) if point.session else None
        since = point.aligned_wh
        if since is None and point.session is not None:
            since = point.session.meter_start_wh
        return None if since is None else WattHour(max(register - since, 0))

    async def _fresh(self, point: ChargingPoint) -> MeterReading | None:
        reading = point.reading
        if reading is not None and clock.monotonic_s() - reading.read_at_s <= FRESH_S:
            return reading
        try:
            return await point.read_meter()
        except DeviceFailed:
            # What cannot be measured is not reported; the meter's silence is a fault of its own.
            return None
