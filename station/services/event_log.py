"""The event log and the audit trail."""

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from station.domain.commands import Outcome
from station.host.logs import mask_secrets
from station.models import AuditEntry, LogEntry
from station.services.commands import Envelope

# Values of these command fields identify a person; the audit names the card only by its beginning.
_SHORTENED = {"id_tag", "parent_id_tag"}
_SHOWN_CHARACTERS = 4
# About a year of a busy station, some 10 MB.
KEPT_ENTRIES = 50_000


def log(code: str, *, at: datetime, connector_id: int | None = None, **data: Any) -> LogEntry:
    """Append an event that has no duration."""
    masked = {name: mask_secrets(value) if isinstance(value, str) else value for name, value in data.items()}
    return LogEntry.objects.create(code=code, connector_id=connector_id, data=masked, at=at)


def begin(
    code: str, *, at: datetime, connector_id: int | None = None, station: str | None = None, **data: Any
) -> LogEntry:
    """Append a lasting condition, once: an open entry of the same code and place is kept as it is.

    The place is the whole station, one of its charging points, or another `station` of its cluster.
    """
    elsewhere = {} if station is None else {"station": station}
    open_entry = _open(code, connector_id, station).first()
    return open_entry or log(code, at=at, connector_id=connector_id, lasting=True, **elsewhere, **data)


def begin_anew(code: str, *, at: datetime, **data: Any) -> LogEntry:
    """Append a lasting condition of the whole station; an open entry that says something else ends with that."""
    present = open_data(code)
    if present is not None and present != data:
        end(code, at=at)
    return begin(code, at=at, **data)


def open_data(code: str) -> dict[str, Any] | None:
    """Return what the open entry of a lasting condition says; None: it does not last."""
    entry = _open(code, None, None).filter(data__lasting=True).first()
    return None if entry is None else {name: value for name, value in entry.data.items() if name != "lasting"}


def end(code: str, *, at: datetime, connector_id: int | None = None, station: str | None = None) -> None:
    """Close the open entry of a lasting condition."""
    _open(code, connector_id, station).filter(data__lasting=True).update(cleared_at=at)


def lasts(code: str) -> bool:
    """Return whether a condition that has begun has not ended."""
    return _open(code, None, None).exists()


def _open(code: str, connector_id: int | None, station: str | None) -> QuerySet[LogEntry]:
    entries = LogEntry.objects.filter(code=code, connector_id=connector_id, cleared_at=None)
    return entries if station is None else entries.filter(data__station=station)


def audit(envelope: Envelope, outcome: Outcome) -> AuditEntry:
    """Record who wanted what and what became of it."""
    data = {
        name: f"{value[:_SHOWN_CHARACTERS]}…" if name in _SHORTENED and value else value
        for name, value in vars(envelope.command).items()
    }
    return AuditEntry.objects.create(
        at=envelope.sent_at,
        origin=envelope.origin.value,
        actor=envelope.actor,
        command=type(envelope.command).__name__,
        data=data,
        outcome=outcome.status.value,
        reason=outcome.reason.value if outcome.reason else "",
    )


def forget_oldest() -> None:
    """Delete what is older than the newest entries worth keeping, in both logs."""
    for model in (LogEntry, AuditEntry):
        newest = model.objects.order_by("-id").values_list("id", flat=True).first()
        if newest is not None:
            model.objects.filter(id__lte=newest - KEPT_ENTRIES).delete()
