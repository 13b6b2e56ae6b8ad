"""What happened and who wanted what, in one line of time: event log and audit trail together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import CharField, QuerySet, Value

from station.models import AuditEntry, LogEntry

FAULTS = "fault."


class Kind(StrEnum):
    """What to look for."""

    FAULT = "fault"
    EVENT = "event"
    COMMAND = "command"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody looks for; None: everything. `since` and `before` are aware moments."""

    kind: Kind | None = None
    since: datetime | None = None
    before: datetime | None = None


def timeline(wanted: Wanted) -> "QuerySet[Any, Any]":
    """Return (kind, primary key, moment) of everything that fits, newest first, to be cut into pages."""
    parts: list[QuerySet[Any, Any]] = []
    if wanted.kind is not Kind.COMMAND:
        events = LogEntry.objects.all()
        if wanted.kind is Kind.FAULT:
            events = events.filter(code__startswith=FAULTS)
        elif wanted.kind is Kind.EVENT:
            events = events.exclude(code__startswith=FAULTS)
        parts.append(_listed(events, "event", wanted))
    if wanted.kind in {None, Kind.COMMAND}:
        parts.append(_listed(AuditEntry.objects.all(), "command", wanted))
    first, *others = parts
    return (first.union(*others, all=True) if others else first).order_by("-at", "-pk")


def rows(page: Sequence[tuple[str, int, datetime]]) -> list[LogEntry | AuditEntry]:
    """Return the rows of a page, in its order."""
    events = LogEntry.objects.in_bulk([key for kind, key, _at in page if kind == "event"])
    commands = AuditEntry.objects.in_bulk([key for kind, key, _at in page if kind == "command"])
    found: list[LogEntry | AuditEntry | None] = [
        events.get(key) if kind == "event" else commands.get(key) for kind, key, _at in page
    ]
    return [row for row in found if row is not None]


def _listed(rows: "QuerySet[Any]", kind: str, wanted: Wanted) -> "QuerySet[Any, Any]":
    if wanted.since is not None:
        rows = rows.filter(at__gte=wanted.since)
    if wanted.before is not None:
        rows = rows.filter(at__lt=wanted.before)
    listed: QuerySet[Any, Any] = rows.annotate(kind=Value(kind, output_field=CharField())).values_list(
        "kind", "pk", "at"
    )
    return listed
