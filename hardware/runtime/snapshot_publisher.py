"""Telling the rest of the station: durable status rows and bells, and the live picture for the pages."""

import asyncio
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer
from django.db import DatabaseError, transaction
from django.utils import translation
from redis.exceptions import RedisError

from station import clock
from station.concurrency import wait_or_timeout
from station.domain.faults import FaultCode, worst
from station.domain.moments import to_wire
from station.models import Connector
from station.services import event_log, live, sessions
from station.services.flushing import without_flush
from station.ui import words

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

log = logging.getLogger(__name__)

OCPP_CHANNEL = "ocpp"
# Pages redraw at most twice a second; publishing faster would only cost.
SHORTEST_GAP_S = 0.5
# The live part expires after live.LIFE_S seconds, so an idle station speaks up well before that.
IDLE_REFRESH_S = 4.0
MAX_INFO = 50


@dataclass(frozen=True, kw_only=True)
class StatusRecord:
    """What the backend is told of one connector."""

    number: int
    phase: str
    phase_since: datetime
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    faults: tuple[str, ...]
    operative: bool
    scheduled_operative: bool | None
    at: datetime

    @property
    def told(self) -> tuple[str, str, str, str]:
        """What a StatusNotification would say; equal ones are not repeated."""
        return self.status, self.error_code, self.info, self.vendor_error_code


def record_of_point(point: "ChargingPoint", at: datetime) -> StatusRecord:
    """Describe a charging point."""
    codes = point.active_faults
    return _record(
        point.number,
        status=point.ocpp_status,
        codes=codes,
        info=point.finishing_info if point.ocpp_status == "Finishing" else "",
        at=at,
        phase=point.state.phase.value,
        phase_since=point.phase_since,
        operative=point.operative,
        scheduled=point.scheduled_operative,
    )


def record_of_station(station: "ControlLoop", at: datetime) -> StatusRecord:
    """Describe the station as a whole (OCPP connector 0)."""
    status = "Faulted" if station.blocked else "Available" if station.operative else "Unavailable"
    return _record(
        0,
        status=status,
        codes=station.active_faults,
        info="",
        at=at,
        phase="station",
        phase_since=station.started_at,
        operative=station.operative,
        scheduled=None,
    )


def _record(
    number: int,
    *,
    status: str,
    codes: frozenset[FaultCode],
    info: str,
    at: datetime,
    phase: str,
    phase_since: datetime,
    operative: bool,
    scheduled: bool | None,
) -> StatusRecord:
    kind = worst(codes)
    return StatusRecord(
        number=number,
        phase=phase,
        phase_since=phase_since,
        status=status,
        error_code=kind.ocpp_error_code if kind else "NoError",
        info=(_fault_info(kind.code) if kind else info)[:MAX_INFO],
        vendor_error_code=(kind.vendor_error_code or "") if kind else "",
        faults=tuple(sorted(code.value for code in codes)),
        operative=operative,
        scheduled_operative=scheduled,
        at=at,
    )


def _fault_info(code: FaultCode) -> str:
    # The backend's people read English, whatever language a page on the laptop has.
    with translation.override("en"):
        return str(words.FAULTS[code])


def store_status(record: StatusRecord) -> int:
    """Write a status row and the log entries of faults that came or went; answers its revision."""
    # After a power cut the status is found out anew; only what was known of faults has to be read later.
    with nullcontext() if record.faults else without_flush(), transaction.atomic():
        return _store_status(record)


def _store_status(record: StatusRecord) -> int:
    row = sessions.connector(record.number)
    before, after = set(row.fault_codes), set(record.faults)
    for code in after - before:
        event_log.begin(f"fault.{code}", at=record.at, connector_id=record.number)
    for code in before - after:
        event_log.end(f"fault.{code}", at=record.at, connector_id=record.number)
    row.phase, row.phase_since = record.phase, record.phase_since
    row.operative, row.scheduled_operative = record.operative, record.scheduled_operative
    row.fault_codes = list(record.faults)
    if (row.status, row.error_code, row.info, row.vendor_error_code) != record.told:
        row.status, row.error_code, row.info, row.vendor_error_code = record.told
        row.status_at = record.at
        row.status_revision += 1
    row.save(
        update_fields=[
            "phase",
            "phase_since",
            "operative",
            "scheduled_operative",
            "fault_codes",
            "status",
            "error_code",
            "info",
            "vendor_error_code",
            "status_at",
            "status_revision",
        ]
    )
    return row.status_revision


def store_equipment(point: "ChargingPoint") -> None:
    """Write down which controller and meter a point has."""
    row = sessions.connector(point.number)
    meter, controller = point.equipment.meter, point.equipment.controller
    fresh: dict[str, str] = {}
    if meter is not None:
        fresh |= {
            "meter_serial": meter.serial,
            "meter_vendor": meter.vendor,
            "meter_model": meter.model,
            "meter_public_key": meter.public_key,
        }
    if controller is not None:
        fresh |= {
            "controller_model": controller.model,
            "controller_serial": controller.serial,
            "controller_hardware_id": controller.hardware_id,
            "controller_firmware": controller.firmware,
        }
    changed = [name for name, value in fresh.items() if getattr(row, name) != value]
    if changed:
        Connector.objects.filter(number=point.number).update(**{name: fresh[name] for name in changed})


class Publisher:
    """Writes statuses in the order they came about and keeps the live picture fresh."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station
        self._queue: asyncio.Queue[StatusRecord] = asyncio.Queue()
        self._last: dict[int, StatusRecord] = {}
        self._seen: dict[int, object] = {}
        self._dirty = asyncio.Event()
        self.revision = 0

    def changed(self, record: StatusRecord) -> None:
        """Take a status; one that says nothing new is dropped."""
        self._dirty.set()
        last = self._last.get(record.number)
        if last is not None and _durable(last) == _durable(record):
            return
        self._last[record.number] = record
        self._queue.put_nowait(record)

    def refresh(self) -> None:
        """Publish the live picture soon."""
        self._dirty.set()

    def refresh_if_changed(self, point: "ChargingPoint") -> None:
        """Publish soon when what people see of a point has moved; an idle point moves nothing."""
        status, reading = point.status, point.reading
        seen = (
            status
            and (status.pilot, status.pwm_on, status.offered, status.locked, status.contactor_closed, status.cable),
            reading and (reading.import_energy, reading.power, reading.currents),
        )
        if self._seen.get(point.number) != seen:
            self._seen[point.number] = seen
            self._dirty.set()

    async def write_statuses(self) -> None:
        """Write and tell for ever, one after the other."""
        while True:
            record = await self._queue.get()
            while True:
                try:
                    revision = await self._station.database(store_status, record)
                    break
                except DatabaseError as error:
                    self._station.journal_failed(error)
                    await asyncio.sleep(1.0)
            await self._ring(record, revision)
            self._queue.task_done()

    async def written(self) -> None:
        """Wait until every status so far is in the table."""
        await self._queue.join()

    async def _ring(self, record: StatusRecord, revision: int) -> None:
        try:
            await get_channel_layer().send(
                OCPP_CHANNEL,
                {
                    "type": "status.changed",
                    "connector": record.number,
                    "status": record.status,
                    "error_code": record.error_code,
                    "info": record.info,
                    "vendor_error_code": record.vendor_error_code,
                    "at": to_wire(record.at),
                    "revision": revision,
                },
            )
        except (RedisError, OSError):
            # The row is written; the OCPP process reads it after its next (re)connection.
            log.info("could not ring the OCPP process")

    async def ring_outbox(self) -> None:
        """Tell the OCPP process that there is something to send."""
        try:
            await get_channel_layer().send(OCPP_CHANNEL, {"type": "outbox.changed"})
        except (RedisError, OSError):
            log.info("could not ring the OCPP process")

    async def publish_live(self) -> None:
        """Publish the picture for ever: soon after changes, and often enough not to expire."""
        while True:
            self._dirty.clear()
            self.revision += 1
            await live.publish_async(self._station.redis, live.HARDWARE, picture(self._station, self.revision))
            await asyncio.sleep(SHORTEST_GAP_S)
            await wait_or_timeout(self._dirty, IDLE_REFRESH_S)


def _durable(record: StatusRecord) -> tuple[object, ...]:
    return (*record.told, record.phase, record.faults, record.operative, record.scheduled_operative)


def picture(station: "ControlLoop", revision: int) -> dict[str, Any]:
    """Draw everything that moves, as JSON values."""
    not_ready = station.not_ready()
    return {
        "revision": revision,
        "at": to_wire(clock.now()),
        "ready": not not_ready,
        "not_ready": not_ready,
        "station": {
            "faults": sorted(code.value for code in station.active_faults),
            "status": record_of_station(station, station.started_at).status,
            "limit_ma": station.limits.framework.mains,
            "reader_ok": all(reader.healthy for reader in station.readers),
        },
        "connectors": {str(point.number): _point_picture(station, point) for point in station.points.values()},
    }


def _point_picture(station: "ControlLoop", point: "ChargingPoint") -> dict[str, Any]:
    status, reading, session = point.status, point.reading, point.session
    limits = station.present_limits.get(point.number)
    permission = point.state.permission
    reservation = next((each for each in station.reservations if each.connector_id == point.number), None)
    meter, controller = point.equipment.meter, point.equipment.controller
    told = record_of_point(point, point.phase_since)
    return {
        "id": point.number,
        "phase": point.state.phase.value,
        "phase_since": to_wire(point.phase_since),
        "status": told.status,
        "error_code": told.error_code,
        "faults": list(told.faults),
        "pilot": status.pilot.value if status else None,
        "pwm": status.pwm_on if status else None,
        "plugged": point.state.car,
        "locked": status.locked if status else None,
        "contactor": status.contactor_closed if status else None,
        "cable_ma": status.cable if status else None,
        "offered_ma": (status.offered if status.pwm_on else 0) if status else None,
        "limit_ma": limits[0].limit if limits else None,
        "limit_source": limits[0].source.value if limits else None,
        "limits": {source.value: value for source, value in limits[1].items()} if limits else {},
        "power_w": reading.power if reading else None,
        "voltages_mv": list(reading.voltages) if reading else [None] * 3,
        "currents_ma": list(reading.currents) if reading else [None] * 3,
        "energy_wh": reading.import_energy if reading else None,
        "frequency_mhz": reading.frequency if reading else None,
        "reading_at": to_wire(point.reading_at) if point.reading_at else None,
        "reading_age_ms": round((clock.monotonic_s() - reading.read_at_s) * 1000) if reading else None,
        "operative": point.operative,
        "scheduled_operative": point.scheduled_operative,
        "session": {
            "id": session.id,
            "id_tag": session.id_tag,
            "started_at": to_wire(session.started_at),
            "meter_start_wh": session.meter_start_wh,
            "energy_wh": max((reading.import_energy if reading else 0) - session.meter_start_wh, 0),
            "transaction_id": session.transaction_id,
            "origin": session.origin,
        }
        if session
        else None,
        "waiting": {"id_tag": permission.id_tag} if permission and not session else None,
        "reservation": {
            "reservation_id": reservation.reservation_id,
            "id_tag": reservation.id_tag,
            "expires_at": to_wire(reservation.expires_at),
        }
        if reservation
        else None,
        "controller": {
            "ok": point.equipment.controller_ok,
            "model": controller.model if controller else "",
            "serial": controller.serial if controller else "",
            "hardware_id": controller.hardware_id if controller else "",
            "firmware": controller.firmware if controller else "",
        },
        "meter": {
            "ok": point.equipment.meter_ok,
            "vendor": meter.vendor if meter else "",
            "model": meter.model if meter else "",
            "serial": meter.serial if meter else "",
            "public_key": meter.public_key if meter else "",
        },
    }
