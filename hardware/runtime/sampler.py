"""When which meter values are recorded for the backend (OCPP 1.6 sections 3.16 and 4.7)."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from station import clock
from station.concurrency import wait_or_timeout
from station.domain.meter_values import (
    MeasurandSelection,
    ReadingContext,
    Sample,
    meter_value,
    next_aligned,
    next_sampled,
    parse_measurands,
)
from station.domain.ports import DeviceError, MeterReading
from station.domain.units import PAUSE, WattHour
from station.services import configuration, sessions

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

# A reading younger than this is taken for a sample; an older one is read anew.
FRESH_S = 0.7
LONGEST_SLEEP = timedelta(seconds=30)
# Between samples the register is written down so often, so that a power cut loses little (flash wear: 6 a minute).
NOTE_S = 10.0
# A sample that could not be taken so long is missed; a younger one is taken late rather than lost.
LATEST = timedelta(seconds=3)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The measurands and intervals in force."""

    sampled: tuple[MeasurandSelection, ...]
    aligned: tuple[MeasurandSelection, ...]
    stop_sampled: tuple[MeasurandSelection, ...]
    stop_aligned: tuple[MeasurandSelection, ...]
    sample_interval_s: int
    aligned_interval_s: int

    @property
    def stop_both(self) -> tuple[MeasurandSelection, ...]:
        """What begin and end values carry."""
        return tuple(dict.fromkeys((*self.stop_sampled, *self.stop_aligned)))


def read_plan() -> Plan:
    """Read the metering keys."""

    def selections(key: str) -> tuple[MeasurandSelection, ...]:
        return parse_measurands(configuration.get(key), configuration.get_int(f"{key}MaxLength"))

    return Plan(
        sampled=selections("MeterValuesSampledData"),
        aligned=selections("MeterValuesAlignedData"),
        stop_sampled=selections("StopTxnSampledData"),
        stop_aligned=selections("StopTxnAlignedData"),
        sample_interval_s=configuration.get_int("MeterValueSampleInterval"),
        aligned_interval_s=configuration.get_int("ClockAlignedDataInterval"),
    )


@dataclass(frozen=True, kw_only=True)
class _Grid:
    """When one charging point is sampled for one purpose; `origin` None: the clock's own grid."""

    number: int
    context: ReadingContext
    interval_s: int
    origin: datetime | None = None

    def after(self, moment: datetime) -> datetime:
        """Answer the next moment of the grid; there is one, as no grid is made for an interval of 0."""
        if self.origin is None:
            following = next_aligned(moment, self.interval_s)
        else:
            following = next_sampled(self.origin, moment, self.interval_s)
        return following or moment + LONGEST_SLEEP


class Sampler:
    """Records samples on the grid of each transaction and on the clock's grid; missed ones are not made up for."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station
        self._wake = asyncio.Event()
        # The next moment of every grid; a moment that has come is sampled even when something else was being done.
        self._next: dict[_Grid, datetime] = {}

    def replan(self) -> None:
        """Look at intervals and sessions anew."""
        self._wake.set()

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            now = clock.now()
            due = self._take_due(now)
            for grid, moment in sorted(due.items(), key=lambda item: item[1]):
                await self._sample(self._station.points[grid.number], moment, grid.context)
            if due:
                continue
            moment = min(self._next.values(), default=now + LONGEST_SLEEP)
            self._wake.clear()
            await wait_or_timeout(self._wake, max((moment - now).total_seconds(), 0))

    def _take_due(self, now: datetime) -> "dict[_Grid, datetime]":
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

    def _grids(self) -> "Iterator[_Grid]":
        plan = self._station.metering
        for point in self._station.points.values():
            if plan.aligned and plan.aligned_interval_s > 0 and self._station.time_is_known():
                yield _Grid(
                    number=point.number, context=ReadingContext.SAMPLE_CLOCK, interval_s=plan.aligned_interval_s
                )
            if point.session is not None and (plan.sampled or plan.stop_sampled) and plan.sample_interval_s > 0:
                yield _Grid(
                    number=point.number,
                    context=ReadingContext.SAMPLE_PERIODIC,
                    interval_s=plan.sample_interval_s,
                    origin=point.session.started_at,
                )

    async def _sample(self, point: "ChargingPoint", at: datetime, context: ReadingContext) -> None:
        session = point.session
        if session is None and context is ReadingContext.SAMPLE_PERIODIC:
            return
        if session is not None and session.ending:
            return
        reading = await self._fresh(point)
        if reading is None or (session is not None and session.ending):
            return
        plan = self._station.metering
        clocked = context is ReadingContext.SAMPLE_CLOCK
        interval = None
        if session is not None:
            since = session.last_sample_wh if session.last_sample_wh is not None else session.meter_start_wh
            interval = WattHour(max(reading.import_energy - since, 0))
            session.last_sample_wh, session.last_noted_s = reading.import_energy, clock.monotonic_s()
        sample = Sample(
            at=at,
            reading=reading,
            context=context,
            offered=point.status.offered if point.status and point.status.pwm_on else PAUSE,
            interval_energy=interval,
        )
        await self._station.write(
            sessions.record_meter_values,
            connector_id=point.number,
            session_id=session.id if session else None,
            at=at,
            register=reading.import_energy,
            told=meter_value(sample, plan.aligned if clocked else plan.sampled),
            kept=meter_value(sample, plan.stop_aligned if clocked else plan.stop_sampled),
        )
        self._station.outbox_filled()

    async def _fresh(self, point: "ChargingPoint") -> MeterReading | None:
        reading = point.reading
        if reading is not None and clock.monotonic_s() - reading.read_at_s <= FRESH_S:
            return reading
        try:
            return await point.read_meter()
        except DeviceError:
            # What cannot be measured is not reported; the meter's silence is a fault of its own.
            return None
