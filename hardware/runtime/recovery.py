"""Taking over what a restart or a power cut interrupted: every open session is resumed or closed, once."""

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.db import DatabaseError
from django.db.models import Max

from hardware.runtime.session import RunningSession
from station import clock
from station.domain.meter_values import ReadingContext, Sample, meter_value
from station.domain.ports import DeviceError, MeterReading, Pilot
from station.domain.units import PAUSE, WattHour
from station.models import BackendState, ChargingSession, OutboxMessage
from station.services import event_log, sessions

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

log = logging.getLogger(__name__)

# How long the first look at plugs and the first statuses may hold up the start.
FIRST_LOOK_S = 1.0
# How long the devices may take to answer before a session is judged without them.
DEVICES_ANSWER_S = 6.0
# Whoever was away longer than this cannot know that it is still the same car.
SAME_CAR = timedelta(minutes=5)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A session that cannot go on, with its last register and the moment it counts as ended."""

    row: ChargingSession
    register: WattHour
    at: datetime


class Recovery:
    """Runs once per start, before limits are applied and cards are served."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station

    async def run(self) -> None:
        """Judge every open session; then the station is ready."""
        try:
            open_rows = await self._station.database(_open_sessions)
            rebooted = await self._station.database(_rebooted)
        except DatabaseError as error:
            self._station.journal_failed(error)
            open_rows, rebooted = [], True
        await asyncio.gather(
            *(self._wait_for_devices(point) for point in self._station.points.values()),
        )
        going_on = [] if rebooted else [row for row in open_rows if self._same_car(row)]
        interrupted = [await self._interrupted(row) for row in open_rows if row not in going_on]
        # The backend hears of things in the order they happened (OCPP 1.6 section 3.7): ends before further samples.
        for each in sorted(interrupted, key=lambda each: each.at):
            await self._close(each)
        for row in going_on:
            await self._resume(row)
        self._station.limits.assume(self._station.points.values(), clock.monotonic_s())
        self._station.take_over()
        for row in going_on:
            if row.deauthorized_at is not None and row.energy_allowed_wh is None:
                # The power went between the backend's refusal and its consequence.
                await self._station.start_responses.stop_refused_session(self._station.points[row.connector_id])
        self._station.outbox_filled()
        await asyncio.gather(*(self._look_at_plug(point) for point in self._station.points.values()))
        for point in self._station.points.values():
            self._station.changed(point)
        self._station.station_changed()
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: on Python 3.11 it can swallow a cancellation that meets the result.
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._station.publisher.written()
        self._station.statuses_are_told()
        await self._station.write(event_log.log, "station.started", at=clock.now())

    async def _wait_for_devices(self, point: "ChargingPoint") -> None:
        deadline_s = clock.monotonic_s() + DEVICES_ANSWER_S
        while clock.monotonic_s() < deadline_s:
            if point.status is not None and (point.reading is not None or point.meter is None):
                return
            await asyncio.sleep(0.02)

    async def _look_at_plug(self, point: "ChargingPoint") -> None:
        """Believe in a plugged car before telling anything, or the point would look free for a moment."""
        deadline_s = clock.monotonic_s() + FIRST_LOOK_S
        while clock.monotonic_s() < deadline_s:
            connected = point.status is not None and point.status.pilot in {Pilot.B, Pilot.C, Pilot.D}
            if point.pilot.connected or not connected:
                return
            point.hurry(0.3)
            await asyncio.sleep(0.02)

    def _same_car(self, row: ChargingSession) -> bool:
        point = self._station.points.get(row.connector_id)
        connected = point is not None and point.status is not None and point.status.pilot in {Pilot.B, Pilot.C, Pilot.D}
        return connected and clock.now() - row.meter_last_at < SAME_CAR

    async def _resume(self, row: ChargingSession) -> None:
        point = self._station.points[row.connector_id]
        if point.status is None:
            return
        log.warning("session %d on point %d goes on after a restart", row.pk, point.number)
        point.resume(RunningSession.of(row), point.status)
        await self._station.write(
            event_log.log, "session.resumed", at=clock.now(), connector_id=point.number, session_id=row.pk
        )

    async def _interrupted(self, row: ChargingSession) -> Interrupted:
        """The register cannot have moved with an open contactor, so the meter's present word is the true end."""
        # Nothing ends before the last thing the station has told about itself.
        alive_at = await self._station.write(_last_sign_of_life) or row.meter_last_at
        point = self._station.points.get(row.connector_id)
        if point is not None:
            await point.actuator.disable()
            try:
                reading = await point.read_meter()
            except DeviceError:
                log.warning("session %d is closed with the last noted register", row.pk)
            else:
                if reading.import_energy > row.meter_last_wh:
                    return Interrupted(row=row, register=reading.import_energy, at=clock.now())
        return Interrupted(row=row, register=WattHour(row.meter_last_wh), at=max(row.meter_last_at, alive_at))

    async def _close(self, interrupted: Interrupted) -> None:
        row = interrupted.row
        reading = MeterReading(read_at_s=clock.monotonic_s(), import_energy=interrupted.register)
        end = Sample(at=interrupted.at, reading=reading, context=ReadingContext.TRANSACTION_END, offered=PAUSE)
        log.warning("session %d on connector %d is closed after a power cut", row.pk, row.connector_id)
        await self._station.write(
            sessions.end_session,
            row.pk,
            reason="PowerLoss",
            id_tag="",
            at=interrupted.at,
            meter=interrupted.register,
            end=meter_value(end, self._station.metering.stop_both),
        )


def _open_sessions() -> list[ChargingSession]:
    return [row for row in ChargingSession.objects.running().order_by("id") if not sessions.stop_is_queued(row.pk)]


def _last_sign_of_life() -> datetime | None:
    """Find the moment of the newest note that all connectors together have left."""
    noted = ChargingSession.objects.aggregate(newest=Max("meter_last_at"))["newest"]
    told = OutboxMessage.objects.aggregate(newest=Max("at"))["newest"]
    return max((moment for moment in (noted, told) if moment is not None), default=None)


def _rebooted() -> bool:
    """Tell whether the computer was started anew since the last run, and remember this one."""
    boot_id = _BOOT_ID.read_text().strip()
    state = BackendState.load()
    before = state.memory.get("boot_id")
    if before != boot_id:
        state.memory = {**state.memory, "boot_id": boot_id}
        state.save(update_fields=["memory"])
    return before is not None and before != boot_id
