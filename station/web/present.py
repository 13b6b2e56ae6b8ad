"""The current state of the station for pages: the live snapshot, and the recorded state where a process is away."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from station.domain.snapshot import (
    BackendSnapshot,
    ControllerSnapshot,
    HardwareSnapshot,
    MeterSnapshot,
    PointSnapshot,
    SessionSnapshot,
)
from station.models import ChargingSession, Connector
from station.services import configuration, identity, live

# The control loop publishes at least every few seconds; an older snapshot is not shown as a live one.
FRESH_S = 10


@dataclass(frozen=True, kw_only=True)
class Present:
    """The state of the station at one moment. Live parts are None while their process is away."""

    at: datetime
    zone: ZoneInfo
    identity: identity.Identity
    hardware: HardwareSnapshot | None
    backend: BackendSnapshot | None
    # Without Redis nobody is heard, and whether a process is away cannot be told.
    redis_answers: bool = True

    @property
    def local_time(self) -> str:
        """Return the time of what is shown, in the station's zone."""
        return f"{self.at.astimezone(self.zone):%H:%M:%S}"

    @property
    def connector_numbers(self) -> range:
        """Return the numbers of the charging points."""
        return range(1, self.identity.connectors + 1)

    def connector(self, number: int) -> PointSnapshot | None:
        """Return the live part of one charging point."""
        return self.hardware.point(number) if self.hardware else None


def look(at: datetime) -> Present:
    """Read the snapshot and what belongs to it."""
    hardware = live.hardware()
    return Present(
        at=at,
        zone=configuration.zone(),
        identity=identity.load(),
        hardware=hardware if hardware and is_fresh(hardware, at) else None,
        backend=live.backend(),
        redis_answers=hardware is not None or live.is_reachable(),
    )


def is_fresh(snapshot: HardwareSnapshot, at: datetime) -> bool:
    """Return whether it was published a moment ago; one from the future was, before the clock was set back."""
    return (at - snapshot.at).total_seconds() < FRESH_S


def recorded(number: int) -> PointSnapshot:
    """Return what the database knows of a charging point."""
    row = Connector.objects.filter(number=number).first() or Connector(number=number, status="Unavailable")
    session = ChargingSession.objects.running().on(number).first()
    return PointSnapshot(
        number=number,
        status=row.status,
        error_code=row.error_code,
        faults=tuple(row.fault_codes),
        operative=row.operative,
        scheduled_operative=row.scheduled_operative,
        session=_recorded_session(session) if session else None,
        controller=ControllerSnapshot(
            model=row.controller_model,
            serial=row.controller_serial,
            hardware_id=row.controller_hardware_id,
            firmware=row.controller_firmware,
        ),
        meter=MeterSnapshot(vendor=row.meter_vendor, model=row.meter_model, serial=row.meter_serial),
    )


def _recorded_session(row: ChargingSession) -> SessionSnapshot:
    return SessionSnapshot(
        id=row.pk,
        id_tag=row.id_tag,
        origin=row.origin,
        started_at=row.started_at,
        meter_start_wh=row.meter_start_wh,
        energy_wh=row.meter_last_wh - row.meter_start_wh,
        transaction_id=row.transaction_id,
    )
