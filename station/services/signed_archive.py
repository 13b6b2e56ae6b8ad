"""The archive of what calibrated meters have signed: rows are appended, never changed, never deleted.

Calibration law wants every signed record kept, gapless by the meter's own pagination, and handed over as a whole. The
archive is a SQLite file of its own, so that neither a damaged database nor a factory reset touches it. Each row carries
a hash of itself and of the row before: what was changed, cut off or taken out in between is found by `check`.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings

from station.domain import ocmf
from station.domain.ocmf import Pagination, RecordMalformed
from station.domain.ports import SignatureFormat
from station.domain.stamps import Stamp

_BUSY_S = 5.0
_PRIVATE = 0o600
_NO_CHAIN = b""
_TABLES = """
CREATE TABLE IF NOT EXISTS record (
    number INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    kind TEXT NOT NULL,
    connector INTEGER NOT NULL,
    begin_number INTEGER,
    format TEXT NOT NULL,
    meter_serial TEXT NOT NULL,
    public_key TEXT NOT NULL,
    context TEXT NOT NULL,
    pagination INTEGER,
    facts TEXT NOT NULL,
    raw BLOB NOT NULL,
    chain BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS record_of_meter ON record (meter_serial, context, number);
CREATE INDEX IF NOT EXISTS record_of_session ON record (begin_number);
CREATE TABLE IF NOT EXISTS sign_of_life (
    id INTEGER PRIMARY KEY CHECK (id = 1), at TEXT NOT NULL, boot_id TEXT NOT NULL, steady_ms INTEGER
);
CREATE TRIGGER IF NOT EXISTS record_is_not_changed BEFORE UPDATE ON record
    BEGIN SELECT RAISE(ABORT, 'signed records are not changed'); END;
CREATE TRIGGER IF NOT EXISTS record_is_not_deleted BEFORE DELETE ON record
    BEGIN SELECT RAISE(ABORT, 'signed records are not deleted'); END;
"""
_COLUMNS = (
    "number, at, kind, connector, begin_number, format, meter_serial, public_key, context, pagination, facts, "
    "raw, chain"
)


class ArchiveUnusable(Exception):
    """The archive cannot be written or read; the message says why."""


class Kind(StrEnum):
    """What a row is to its session.

    OTHER: a record that belongs to none. NOTE: what somebody has decided about a meter. TOLD: what the backend has
    taken of a session, without which a database that is lost could not be rebuilt; it holds nothing that is signed.
    """

    BEGIN = "begin"
    END = "end"
    OTHER = "other"
    NOTE = "note"
    TOLD = "told"


class Problem(StrEnum):
    """What a check of the archive finds."""

    UNREADABLE = "unreadable"
    CHANGED = "changed"
    ROWS_MISSING = "rows_missing"
    PAGINATION_GAP = "pagination_gap"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is to be kept. `begin_number`: the row its session began with. `facts`: what else is known of it."""

    at: datetime
    kind: Kind
    connector_id: int
    meter_serial: str
    public_key: str
    raw: bytes
    format: SignatureFormat = SignatureFormat.OCMF
    begin_number: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Archived:
    """A row, as it was written."""

    number: int
    entry: Entry
    pagination: Pagination | None


@dataclass(frozen=True, kw_only=True)
class Appended:
    """What came of keeping a record. `follows`: nothing the same meter has signed before it is missing."""

    number: int
    follows: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check has found, and how many rows there are."""

    rows: int
    problems: tuple[Problem, ...]
    details: tuple[str, ...] = ()


@contextmanager
def _archive(file: Path | None = None) -> Iterator[sqlite3.Connection]:
    """Open the archive, made at its first use; raises ArchiveUnusable."""
    path = file or settings.DATA.signed_archive
    try:
        if not path.exists():
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, _PRIVATE))
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as database:
            # A row that was confirmed is on the disk, with the name of the file in its directory.
            database.execute("PRAGMA synchronous = EXTRA")
            database.executescript(_TABLES)
            yield database
    except (sqlite3.Error, OSError) as error:
        raise ArchiveUnusable(str(error)) from error


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def append(entry: Entry, *, above: int = 0) -> Appended:
    """Keep a record, durably; one that is kept already stays as it is. Raises ArchiveUnusable.

    `above`: a number that was given away already, whether or not its row is still there.
    """
    pagination = _pagination_of(entry.raw) if entry.raw else None
    context = pagination.context if pagination else ""
    with _archive() as database, _transaction(database):
        kept = _number_of(database, entry.raw, entry.meter_serial)
        if kept is not None:
            return Appended(number=kept, follows=True)
        before = _last_of_meter(database, entry.meter_serial, context) if entry.raw else None
        last, chain = _last(database)
        number = max(last, above)
        row = (
            number + 1,
            entry.at.isoformat(),
            entry.kind.value,
            entry.connector_id,
            entry.begin_number,
            entry.format.value,
            entry.meter_serial,
            entry.public_key,
            context,
            pagination.number if pagination else None,
            json.dumps(dict(entry.facts), sort_keys=True, separators=(",", ":")),
            entry.raw,
        )
        marks = ",".join("?" * (len(row) + 1))
        database.execute(f"INSERT INTO record VALUES ({marks})", (*row, _link(chain, row)))  # noqa: S608 - question marks
    return Appended(number=number + 1, follows=_follows(before, pagination))


def _follows(before: Archived | None, pagination: Pagination | None) -> bool:
    if before is None or before.entry.kind is Kind.NOTE or pagination is None or before.pagination is None:
        return True
    return pagination.follows(before.pagination)


def _pagination_of(raw: bytes) -> Pagination | None:
    """Return the number of a record; None for one of a format that is carried without being read."""
    try:
        return ocmf.parse(raw).pagination
    except RecordMalformed:
        return None


def _last(database: sqlite3.Connection) -> tuple[int, bytes]:
    row = database.execute("SELECT number, chain FROM record ORDER BY number DESC LIMIT 1").fetchone()
    return (0, _NO_CHAIN) if row is None else (row[0], row[1])


def _number_of(database: sqlite3.Connection, raw: bytes, serial: str) -> int | None:
    """Return under which number a record is kept, whatever was kept or noted since; None: it is not."""
    pagination = _pagination_of(raw)
    found = database.execute(
        "SELECT number FROM record WHERE meter_serial = ? AND context = ? AND pagination IS ? AND raw = ? "
        "AND length(raw) > 0",
        (serial, pagination.context if pagination else "", pagination.number if pagination else None, raw),
    ).fetchone()
    return None if found is None else int(found[0])


def _last_of_meter(database: sqlite3.Connection, serial: str, context: str) -> Archived | None:
    """Return the newest row of a meter in this context, or what was noted about the meter since."""
    row = database.execute(
        f"SELECT {_COLUMNS} FROM record WHERE meter_serial = ? AND (context = ? OR kind = ?) "  # noqa: S608 - our columns
        "ORDER BY number DESC LIMIT 1",
        (serial, context, Kind.NOTE.value),
    ).fetchone()
    return None if row is None else _read(row)


def _link(before: bytes, row: tuple[Any, ...]) -> bytes:
    """Return the hash of a row and of everything before it."""
    *fields, raw = row
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode()
    return hashlib.sha256(before + len(text).to_bytes(8, "big") + text + raw).digest()


def _read(row: tuple[Any, ...]) -> Archived:
    """Return a row as it was written; raises ArchiveUnusable for one that somebody or the disk has changed."""
    try:
        return _as_written(row)
    except (ValueError, TypeError, AttributeError) as error:
        raise ArchiveUnusable(f"row {row[0]}: {error}"[:100]) from error


def _as_written(row: tuple[Any, ...]) -> Archived:
    number, at, kind, connector, begin, format_, serial, key, context, pagination, facts, raw, _chain = row
    return Archived(
        number=number,
        entry=Entry(
            at=datetime.fromisoformat(at),
            kind=Kind(kind),
            connector_id=connector,
            meter_serial=serial,
            public_key=key,
            raw=bytes(raw),
            format=SignatureFormat(format_),
            begin_number=begin,
            facts=json.loads(facts),
        ),
        pagination=None if pagination is None else Pagination(context=context, number=pagination),
    )


def probe(at: Stamp) -> None:
    """Write that the station is alive, which changes nothing else; raises ArchiveUnusable."""
    with _archive() as database, _transaction(database):
        row = (at.at.isoformat(), at.boot_id, at.steady_ms)
        database.execute("INSERT OR REPLACE INTO sign_of_life VALUES (1, ?, ?, ?)", row)


def last_sign_of_life() -> Stamp | None:
    """Return when the archive was last found to be writable; raises ArchiveUnusable."""
    with _archive() as database:
        row = database.execute("SELECT at, boot_id, steady_ms FROM sign_of_life").fetchone()
    try:
        return None if row is None else Stamp.decode(dict(zip(("at", "boot_id", "steady_ms"), row, strict=True)))
    except (ValueError, TypeError):
        return None


def note_told(at: datetime, *, connector_id: int, begin_number: int | None, facts: Mapping[str, Any]) -> None:
    """Keep what the backend has taken of a session (None: all before this row are settled); raises ArchiveUnusable."""
    append(
        Entry(
            at=at,
            kind=Kind.TOLD,
            connector_id=connector_id,
            meter_serial="",
            public_key="",
            raw=b"",
            begin_number=begin_number,
            facts=facts,
        )
    )


def holds(raw: bytes, meter_serial: str) -> bool:
    """Return whether this record of a meter is kept; raises ArchiveUnusable."""
    with _archive() as database:
        return _number_of(database, raw, meter_serial) is not None


def open_begin(meter_serial: str) -> int | None:
    """Return the newest begin of a meter, unless its end is kept, too; raises ArchiveUnusable."""
    with _archive() as database:
        row = database.execute(
            "SELECT number FROM record WHERE meter_serial = ? AND kind = ? ORDER BY number DESC LIMIT 1",
            (meter_serial, Kind.BEGIN.value),
        ).fetchone()
        if row is None:
            return None
        end = database.execute(
            "SELECT 1 FROM record WHERE begin_number = ? AND kind = ?", (row[0], Kind.END.value)
        ).fetchone()
    return None if end else int(row[0])


def newest() -> int:
    """Return the number of the newest row; raises ArchiveUnusable."""
    with _archive() as database:
        return _last(database)[0]


def was_noted(meter_serial: str, since: int) -> bool:
    """Return whether somebody has noted something about a meter behind this row; raises ArchiveUnusable."""
    with _archive() as database:
        row = database.execute(
            "SELECT 1 FROM record WHERE meter_serial = ? AND kind = ? AND number > ?",
            (meter_serial, Kind.NOTE.value, since),
        ).fetchone()
    return row is not None


def of_session(begin_number: int) -> list[Archived]:
    """Return the records of the session that began with this row, in their order; raises ArchiveUnusable."""
    with _archive() as database:
        rows = database.execute(
            f"SELECT {_COLUMNS} FROM record WHERE number = ? OR begin_number = ? ORDER BY number",  # noqa: S608 - our columns
            (begin_number, begin_number),
        ).fetchall()
    return [_read(row) for row in rows]


def everything(file: Path | None = None) -> Iterator[Archived]:
    """Yield every row, in order; raises ArchiveUnusable."""
    with _archive(file) as database:
        for row in database.execute(f"SELECT {_COLUMNS} FROM record ORDER BY number"):  # noqa: S608 - our columns
            yield _read(row)


def check(*, at_least: int = 0) -> Verdict:
    """Read the whole archive and judge it; `at_least`: the newest row that the database knows of.

    A gap that somebody has looked into and noted is none any more, nor are rows that were lost right before a note.
    """
    problems: dict[Problem, list[str]] = {}
    number, chain = 0, _NO_CHAIN
    newest: dict[tuple[str, str], Archived] = {}
    gaps: dict[str, list[str]] = {}
    try:
        with _archive() as database:
            for row in database.execute(f"SELECT {_COLUMNS} FROM record ORDER BY number"):  # noqa: S608 - our columns
                if row[0] != number + 1 and row[2] != Kind.NOTE:
                    problems.setdefault(Problem.ROWS_MISSING, []).append(f"{number + 1}…{row[0] - 1}")
                if _link(chain, row[:-1]) != row[-1]:
                    problems.setdefault(Problem.CHANGED, []).append(str(row[0]))
                number, chain = row[0], row[-1]
                _check_pagination(_read(row), newest, gaps)
    except (ArchiveUnusable, ValueError, TypeError) as error:
        problems.setdefault(Problem.UNREADABLE, []).append(str(error)[:100])
    if gaps:
        problems[Problem.PAGINATION_GAP] = [row for rows in gaps.values() for row in rows]
    if number < at_least:
        problems.setdefault(Problem.ROWS_MISSING, []).append(f"{number + 1}…{at_least}")
    details = tuple(f"{problem}: {', '.join(found[:5])}" for problem, found in problems.items())
    return Verdict(rows=number, problems=tuple(problems), details=details)


def _check_pagination(row: Archived, newest: dict[tuple[str, str], Archived], gaps: dict[str, list[str]]) -> None:
    serial = row.entry.meter_serial
    if row.entry.kind is Kind.NOTE:
        gaps.pop(serial, None)
        for known in [each for each in newest if each[0] == serial]:
            del newest[known]
        return
    if row.pagination is None:
        return
    place = (serial, row.pagination.context)
    if not _follows(newest.get(place), row.pagination):
        gaps.setdefault(serial, []).append(str(row.number))
    newest[place] = row
