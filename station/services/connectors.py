"""The rows of the connectors: status, devices and availability of each one. Number 0 is the whole station."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from station.domain.connector import SESSION_PHASES, Phase
from station.domain.free_charging import has_ended_for_good
from station.domain.ports import ControllerIdentity, MeterIdentity
from station.domain.snapshot import FinishedSessionSnapshot
from station.domain.stamps import Stamp
from station.models import ChargingSession, Connector
from station.services import event_log, fault_memory
from station.services.flushing import without_flush

# So many changes can be told while none can be written; the next one written has a revision beyond them.
REVISIONS_KEPT_FREE = 1_000
# The process may have ended between the end of the session and the next status.
_WITH_SERVED_CAR = {*SESSION_PHASES, Phase.ENDING, Phase.FINISHING}


@dataclass(frozen=True, kw_only=True)
class StatusRecord:
    """What the backend is told of one connector, and the phase and faults behind it."""

    number: int
    phase: str
    phase_since: datetime
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    faults: tuple[str, ...]
    at: datetime

    @property
    def notification(self) -> tuple[str, str, str, str]:
        """What a StatusNotification would say; equal ones are not repeated."""
        return self.status, self.error_code, self.info, self.vendor_error_code


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a connector is in service, and what it becomes when its session has ended (None: nothing waits)."""

    number: int
    operative: bool
    scheduled_operative: bool | None = None


def connector(number: int) -> Connector:
    """Read the row of a connector, making it on first use."""
    row, _ = Connector.objects.get_or_create(number=number)
    return row


def availability(number: int) -> Availability:
    """Read whether a connector is in service."""
    row = connector(number)
    return Availability(number=number, operative=row.operative, scheduled_operative=row.scheduled_operative)


def aligned_register(number: int) -> int | None:
    """Read the register of the last clock-aligned sample."""
    return connector(number).aligned_wh


@transaction.atomic
def store_availability(wanted: Iterable[Availability]) -> None:
    """Write down what is in service, all of it or nothing; nothing else writes these columns."""
    for each in wanted:
        row = connector(each.number)
        row.operative, row.scheduled_operative = each.operative, each.scheduled_operative
        row.save(update_fields=["operative", "scheduled_operative"])


def store_status(record: StatusRecord, *, step: int = 1) -> int:
    """Write a status row and the log entries of faults that came or went; return its revision.

    It counts changes. With REVISIONS_KEPT_FREE as `step` it counts on in any case, as others may have been told.
    """
    # After a power cut the status is found out anew; only what was known of faults has to be read later.
    with nullcontext() if record.faults else without_flush(), transaction.atomic():
        return _store_status(record, step)


def _store_status(record: StatusRecord, step: int) -> int:
    row = connector(record.number)
    before, after = set(row.fault_codes), set(record.faults)
    for code in after - before:
        event_log.begin(f"fault.{code}", at=record.at, connector_id=record.number)
    for code in before - after:
        event_log.end(f"fault.{code}", at=record.at, connector_id=record.number)
    if before != after:
        fault_memory.begin(record.number, after - before, at=record.at)
        fault_memory.end(record.number, before - after, at=record.at)
    row.phase, row.phase_since = record.phase, record.phase_since
    row.fault_codes = list(record.faults)
    if (row.status, row.error_code, row.info, row.vendor_error_code) != record.notification:
        row.status, row.error_code, row.info, row.vendor_error_code = record.notification
        row.status_at = record.at
        row.status_revision += step
    elif step > 1:
        row.status_revision += step
    row.save(
        update_fields=[
            "phase",
            "phase_since",
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


def store_devices(number: int, *, controller: ControllerIdentity | None, meter: MeterIdentity | None) -> None:
    """Write down which controller and meter a connector has; None leaves what is known."""
    row = connector(number)
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
        Connector.objects.filter(number=number).update(**{name: fresh[name] for name in changed})


def last_session(number: int) -> FinishedSessionSnapshot | None:
    """Read the session that ended last at a connector."""
    row = ChargingSession.objects.on(number).exclude(stopped_at=None).order_by("-stopped_at", "-id").first()
    if row is None or row.stopped_at is None:
        return None
    return FinishedSessionSnapshot(
        id=row.pk,
        id_tag=row.id_tag,
        started_at=row.started_at,
        ended_at=row.stopped_at,
        energy_wh=(row.meter_stop_wh or row.meter_start_wh) - row.meter_start_wh,
        reason=row.stop_reason,
    )


def session_ended_for_good(number: int, now: Stamp) -> bool:
    """Return whether the car that stood here last was one that gets no other session until it is plugged in anew.

    After a start of the computer nobody knows which car it is.
    """
    if connector(number).phase not in _WITH_SERVED_CAR:
        return False
    row = ChargingSession.objects.on(number).exclude(stopped_at=None).order_by("-stopped_at", "-id").first()
    return row is not None and row.meter_last_boot_id == now.boot_id and has_ended_for_good(row.stop_reason)
