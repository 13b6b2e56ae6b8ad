"""When which meter values are recorded for the backend (OCPP 1.6 sections 3.16 and 4.7)."""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hardware.runtime.bell import rung
from station import clock
from station.domain.meter_values import (
    MeasurandSelection,
    ReadingContext,
    Sample,
    next_aligned,
    next_sampled,
    parse_measurands,
    sampled_values,
)
from station.domain.ports import DeviceError, MeterReading
from station.domain.units import PAUSE, WattHour
from station.services import configuration, sessions

if TYPE_CHECKING:
    from hardware.runtime.point import ChargingPoint
    from hardware.runtime.station import Station

# A reading younger than this is taken for a sample; an older one is read anew.
FRESH_S = 0.7
LONGEST_SLEEP = timedelta(seconds=30)
# Between samples the register is written down so often, so that a power cut loses little (flash wear: 6 a minute).
NOTE_S = 10.0


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


class Sampler:
    """Records samples on the grid of each transaction and on the clock's grid; missed ones are not made up for."""

    def __init__(self, station: "Station") -> None:
        self._station = station
        self._wake = asyncio.Event()

    def replan(self) -> None:
        """Look at intervals and sessions anew."""
        self._wake.set()

    async def run(self) -> None:
        """Sample for ever."""
        while True:
            now = clock.now()
            due = self._due(now)
            moment = min((moment for moment, _, _ in due), default=now + LONGEST_SLEEP)
            self._wake.clear()
            if await rung(self._wake, max((moment - now).total_seconds(), 0)):
                continue
            for due_at, point, context in due:
                if due_at <= moment:
                    await self._sample(point, due_at, context)

    def _due(self, now: datetime) -> "list[tuple[datetime, ChargingPoint, ReadingContext]]":
        plan = self._station.metering
        due = []
        aligned = next_aligned(now, plan.aligned_interval_s) if plan.aligned else None
        for point in self._station.points.values():
            if aligned is not None and self._station.time_is_known():
                due.append((aligned, point, ReadingContext.SAMPLE_CLOCK))
            if point.session is not None and (plan.sampled or plan.stop_sampled):
                sampled = next_sampled(point.session.started_at, now, plan.sample_interval_s)
                if sampled is not None:
                    due.append((sampled, point, ReadingContext.SAMPLE_PERIODIC))
        return due

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
            sample=sessions.Sample(
                at=at,
                context=context.value,
                values=list(sampled_values(sample, plan.aligned if clocked else plan.sampled)),
            ),
            keep_for_stop=list(sampled_values(sample, plan.stop_aligned if clocked else plan.stop_sampled)),
            register=reading.import_energy,
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
