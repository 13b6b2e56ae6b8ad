"""What goes into an archive for the operator, as named texts; whoever writes the archive masks the secrets."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.db.models import QuerySet

from station.domain.commands import Origin
from station.domain.moments import to_wire
from station.models import AuditEntry, ChargingSession, FileJob, LogEntry, SecurityEvent
from station.services import configuration, identity, secret_storage
from station.services.file_jobs import requests
from station.services.identity import MASK

Text: TypeAlias = tuple[str, Iterable[str]]
MOST_ROWS = 20_000
_ROWS_AT_A_TIME = 500


def texts(
    *, start: datetime | None, stop: datetime | None, versions: Mapping[str, str], at: datetime
) -> Iterator[Text]:
    """Yield everything in the database that helps to diagnose a station, within a time window."""
    yield "versions.json", [json.dumps({"made_at": to_wire(at)} | dict(versions), indent=2) + "\n"]
    yield "configuration.txt", _configuration()
    yield "events.jsonl", _lines(_between(LogEntry.objects.all(), "at", start, stop), _event)
    yield "audit.jsonl", _lines(_between(AuditEntry.objects.all(), "at", start, stop), _audit)
    yield "sessions.jsonl", _lines(_between(ChargingSession.objects.all(), "started_at", start, stop), _session)
    yield from security_texts(start=start, stop=stop)


def security_texts(*, start: datetime | None, stop: datetime | None) -> Iterator[Text]:
    """Yield the security log within a time window."""
    yield "security.jsonl", _lines(_between(SecurityEvent.objects.all(), "at", start, stop), _security)


def secrets() -> frozenset[str]:
    """Collect every secret value currently in force."""
    present = configuration.snapshot()
    found = {present[key.name] for key in present.registry.keys if not key.readable}
    found.add(settings.SECRET_KEY)
    found.update(secret_storage.keys_in_clear())
    found.add(identity.untold_password() or "")
    for name in present:
        found.update(_secrets_in(present[name]) if "://" in present[name] else ())
    for job in FileJob.objects.filter(finished_at=None):
        for location in requests.locations(requests.whole(job)):
            found.update(_secrets_in(location))
    return frozenset(found - {"", MASK})


def _secrets_in(location: str) -> tuple[str, ...]:
    """Find the password of a URL; a query may be a signature that opens the place."""
    try:
        parts = urlsplit(location)
    except ValueError:
        return ()
    return unquote(parts.password or ""), parts.query


def _configuration() -> Iterator[str]:
    for entry in configuration.listing(Origin.LOCAL).known:
        yield f"{entry.key.name}={'' if entry.value is None else entry.value}\n"


def _between(rows: QuerySet[Any], moment: str, start: datetime | None, stop: datetime | None) -> QuerySet[Any]:
    if start is not None:
        rows = rows.filter(**{f"{moment}__gte": start})
    if stop is not None:
        rows = rows.filter(**{f"{moment}__lte": stop})
    return rows.order_by("-id")


def _lines(rows: QuerySet[Any], describe: Any) -> Iterator[str]:
    """Yield the newest rows, one JSON object a line, the newest first."""
    for row in islice(rows.iterator(chunk_size=_ROWS_AT_A_TIME), MOST_ROWS):
        yield json.dumps(describe(row), ensure_ascii=False, default=str) + "\n"


def _event(row: LogEntry) -> dict[str, Any]:
    ended = {"cleared_at": to_wire(row.cleared_at)} if row.cleared_at else {}
    return {"at": to_wire(row.at), "code": row.code, "connector": row.connector_id, "data": row.data} | ended


def _audit(row: AuditEntry) -> dict[str, Any]:
    return {
        "at": to_wire(row.at),
        "command": row.command,
        "origin": row.origin,
        "actor": row.actor,
        "data": row.data,
        "outcome": row.outcome,
        "reason": row.reason,
    }


def _session(row: ChargingSession) -> dict[str, Any]:
    return {field.name: getattr(row, field.attname) for field in row._meta.concrete_fields}  # noqa: SLF001


def _security(row: SecurityEvent) -> dict[str, Any]:
    return {"number": row.pk, "at": to_wire(row.at), "type": row.type, "info": row.tech_info}
