"""What a restart has to know of the sessions that were running before it."""

from datetime import datetime
from pathlib import Path

from django.db.models import Max

from station.models import BackendState, ChargingSession, OutboxMessage
from station.services import sessions

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def open_sessions() -> list[ChargingSession]:
    """Read the sessions that have begun and whose end is not queued, oldest first."""
    return [row for row in ChargingSession.objects.running().order_by("id") if not sessions.stop_is_queued(row.pk)]


def last_sign_of_life() -> datetime | None:
    """Find the moment of the newest note that all connectors together have left."""
    noted = ChargingSession.objects.aggregate(newest=Max("meter_last_at"))["newest"]
    told = OutboxMessage.objects.aggregate(newest=Max("at"))["newest"]
    return max((moment for moment in (noted, told) if moment is not None), default=None)


def is_another_boot() -> bool:
    """Return whether the computer was started anew since the last run, and write down which start this is."""
    boot_id = _BOOT_ID.read_text().strip()
    state = BackendState.load()
    before = state.memory.get("boot_id")
    if before != boot_id:
        state.memory = {**state.memory, "boot_id": boot_id}
        state.save(update_fields=["memory"])
    return before is not None and before != boot_id
