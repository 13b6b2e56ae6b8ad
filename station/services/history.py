"""What happened and who wanted what, in one line of time: event log and audit trail together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db.models import CharField, Q, QuerySet, Value

from station.models import AuditEntry, LogEntry

FAULTS = "fault."
_MOST_ACTORS = 100


class Kind(StrEnum):
    """What to look for."""

    FAULT = "fault"
    EVENT = "event"
    COMMAND = "command"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody looks for; None: everything. `since` and `before` are aware moments.

    `actor`: what this person or part of the station wanted. `keys` and `commands`: changes of these settings, and these
    commands.
    """

    kind: Kind | None = None
    since: datetime | None = None
    before: datetime | None = None
    actor: str | None = None
    keys: tuple[str, ...] | None = None
    commands: tuple[str, ...] = ()

    @property
    def is_of_people(self) -> bool:
        """Whether only what somebody wanted fits: events have neither a person nor settings."""
        return self.kind is Kind.COMMAND or self.actor is not None or self.keys is not None


def timeline(wanted: Wanted) -> "QuerySet[Any, Any]":
    """Return (kind, primary key, moment) of everything that fits, newest first, to be cut into pages."""
    parts: list[QuerySet[Any, Any]] = []
    if not wanted.is_of_people:
        events = LogEntry.objects.all()
        if wanted.kind is Kind.FAULT:
            events = events.filter(code__startswith=FAULTS)
        elif wanted.kind is Kind.EVENT:
            events = events.exclude(code__startswith=FAULTS)
        parts.append(_listed(events, "event", wanted))
    if wanted.is_of_people or wanted.kind is None:
        parts.append(_listed(_commands(wanted), "command", wanted))
    first, *others = parts
    return (first.union(*others, all=True) if others else first).order_by("-at", "-pk")


def _commands(wanted: Wanted) -> "QuerySet[AuditEntry]":
    rows = AuditEntry.objects.all()
    if wanted.actor is not None:
        rows = rows.filter(actor=wanted.actor)
    if wanted.keys is not None:
        of_settings = Q(data__has_any_keys=list(wanted.keys)) if wanted.keys else Q()
        rows = rows.filter(of_settings | Q(command__in=wanted.commands))
    return rows


def actors() -> list[str]:
    """Return who has wanted anything, in the order of the alphabet."""
    found = AuditEntry.objects.exclude(actor="").order_by("actor").values_list("actor", flat=True).distinct()
    return list(found[:_MOST_ACTORS])


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
