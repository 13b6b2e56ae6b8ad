"""The current state of the station for pages: the live snapshot, and the recorded state where a process is away."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

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
    hardware: dict[str, Any] | None
    backend: dict[str, Any] | None

    @property
    def connector_numbers(self) -> range:
        """Return the numbers of the charging points."""
        return range(1, self.identity.connectors + 1)

    def connector(self, number: int) -> dict[str, Any] | None:
        """Return the live part of one charging point."""
        found = (self.hardware or {}).get("connectors", {}).get(str(number))
        return found if isinstance(found, dict) else None


def look(at: datetime) -> Present:
    """Read the snapshot and what belongs to it."""
    hardware = live.read(live.HARDWARE)
    return Present(
        at=at,
        zone=ZoneInfo(configuration.get("TimeZone")),
        identity=identity.load(),
        hardware=hardware if hardware and is_fresh(hardware, at) else None,
        backend=live.read(live.BACKEND),
    )


def is_fresh(part: dict[str, Any], at: datetime) -> bool:
    """Return whether a part was published a moment ago; a part from the future was, before the clock was set back."""
    published = moment(part.get("at"))
    return published is None or (at - published).total_seconds() < FRESH_S


def moment(text: Any) -> datetime | None:
    """Read a moment of the snapshot, None where there is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def recorded(number: int) -> dict[str, Any]:
    """Return what the database knows of a charging point, in the shape of the snapshot."""
    row = Connector.objects.filter(number=number).first() or Connector(number=number, status="Unavailable")
    session = ChargingSession.objects.running().on(number).first()
    return {
        "id": number,
        "status": row.status,
        "error_code": row.error_code,
        "faults": row.fault_codes,
        "operative": row.operative,
        "scheduled_operative": row.scheduled_operative,
        "session": session
        and {
            "id": session.pk,
            "id_tag": session.id_tag,
            "started_at": session.started_at.isoformat(),
            "energy_wh": session.meter_last_wh - session.meter_start_wh,
            "origin": session.origin,
        },
        "controller": {
            "ok": None,
            "model": row.controller_model,
            "serial": row.controller_serial,
            "hardware_id": row.controller_hardware_id,
            "firmware": row.controller_firmware,
        },
        "meter": {"ok": None, "vendor": row.meter_vendor, "model": row.meter_model, "serial": row.meter_serial},
    }
