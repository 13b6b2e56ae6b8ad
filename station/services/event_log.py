"""The event log and the audit trail."""

from datetime import datetime
from typing import Any

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


def begin(code: str, *, at: datetime, connector_id: int | None = None, **data: Any) -> LogEntry:
    """Append a lasting condition, once: an open entry of the same code and place is kept as it is."""
    open_entry = LogEntry.objects.filter(code=code, connector_id=connector_id, cleared_at=None).first()
    return open_entry or log(code, at=at, connector_id=connector_id, lasting=True, **data)


def end(code: str, *, at: datetime, connector_id: int | None = None) -> None:
    """Close the open entry of a lasting condition."""
    LogEntry.objects.filter(code=code, connector_id=connector_id, cleared_at=None, data__lasting=True).update(
        cleared_at=at
    )


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
