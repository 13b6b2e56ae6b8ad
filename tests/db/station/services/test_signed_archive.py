"""What a meter has signed is kept: appended, never changed, gapless, and every tampering is found."""

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from station.paths import DataDirectory
from station.services import factory_reset, signed_archive
from station.services.signed_archive import ArchiveUnusable, Entry, Kind, Problem
from tests.ocmf import RecordSigner, reading

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


@pytest.fixture
def meter(data: DataDirectory) -> RecordSigner:
    return RecordSigner()


def _entry(meter: RecordSigner, raw: bytes, kind: Kind = Kind.BEGIN, **changed: Any) -> Entry:
    given: dict[str, Any] = {"meter_serial": meter.serial, "public_key": meter.public_key} | changed
    return Entry(at=AT, kind=kind, connector_id=1, raw=raw, **given)


def _keep_session(meter: RecordSigner, first: int) -> int:
    begin, end = meter.pair(first=first)
    number = signed_archive.append(_entry(meter, begin)).number
    signed_archive.append(_entry(meter, end, Kind.END, begin_number=number))
    return number


def _keep_sessions(meter: RecordSigner, firsts: range) -> None:
    for first in firsts:
        _keep_session(meter, first)


@pytest.fixture
def database(data: DataDirectory, meter: RecordSigner) -> Iterator[sqlite3.Connection]:
    _keep_session(meter, 1)
    _keep_session(meter, 3)
    with closing(sqlite3.connect(data.signed_archive)) as connection:
        yield connection


def test_what_is_kept_comes_back_byte_by_byte(meter: RecordSigner) -> None:
    first, second = _keep_session(meter, 1), _keep_session(meter, 3)
    assert [each.entry.raw for each in signed_archive.of_session(first)] == meter_bytes(first)
    assert [each.number for each in signed_archive.of_session(second)] == [3, 4]
    assert signed_archive.check(at_least=4) == signed_archive.Verdict(rows=4, problems=())


def meter_bytes(begin: int) -> list[bytes]:
    return [each.entry.raw for each in signed_archive.everything() if begin in {each.number, each.entry.begin_number}]


def test_only_the_station_reads_it(data: DataDirectory, meter: RecordSigner) -> None:
    _keep_session(meter, 1)
    assert stat.S_IMODE(data.signed_archive.stat().st_mode) == 0o600


def test_a_record_that_is_kept_already_is_not_kept_twice(meter: RecordSigner) -> None:
    raw = meter.pair()[0]
    first = signed_archive.append(_entry(meter, raw))
    assert signed_archive.append(_entry(meter, raw)) == first
    assert signed_archive.holds(raw, meter.serial)
    assert not signed_archive.holds(meter.pair(first=9)[0], meter.serial)


def test_a_record_is_not_kept_twice_whatever_was_noted_since(meter: RecordSigner) -> None:
    raw = meter.pair()[0]
    first = signed_archive.append(_entry(meter, raw))
    signed_archive.append(
        Entry(at=AT, kind=Kind.NOTE, connector_id=0, meter_serial=meter.serial, public_key="", raw=b"")
    )
    assert signed_archive.holds(raw, meter.serial)
    assert signed_archive.append(_entry(meter, raw)) == first


def test_what_the_backend_has_taken_is_no_end_of_a_session(meter: RecordSigner) -> None:
    begin, end = meter.pair()
    number = signed_archive.append(_entry(meter, begin)).number
    signed_archive.note_told(AT, connector_id=1, begin_number=number, facts={"transaction": 7})
    assert signed_archive.open_begin(meter.serial) == number
    assert signed_archive.append(_entry(meter, end, Kind.END, begin_number=number)).follows
    assert signed_archive.open_begin(meter.serial) is None
    assert signed_archive.check().problems == ()


def test_a_missing_record_is_told_at_once_and_at_every_check_until_somebody_has_noted_why(meter: RecordSigner) -> None:
    _keep_session(meter, 1)
    assert not signed_archive.append(_entry(meter, meter.pair(first=4)[0])).follows
    assert signed_archive.check().problems == (Problem.PAGINATION_GAP,)
    note = Entry(at=AT, kind=Kind.NOTE, connector_id=0, meter_serial=meter.serial, public_key="", raw=b"")
    signed_archive.append(note)
    assert signed_archive.check().problems == ()
    # Counting begins anew behind what was noted.
    assert signed_archive.append(_entry(meter, meter.pair(first=40)[0])).follows


def test_each_meter_and_each_context_counts_for_itself(meter: RecordSigner) -> None:
    _keep_session(meter, 1)
    fiscal = meter.record("F900", reading("C", "7.00"))
    other = RecordSigner(serial="M2")
    assert signed_archive.append(_entry(meter, fiscal, Kind.OTHER)).follows
    assert signed_archive.append(_entry(other, other.pair(first=77)[0])).follows
    assert signed_archive.append(_entry(meter, meter.pair(first=3)[0])).follows
    assert signed_archive.check().problems == ()


@pytest.mark.parametrize("statement", ["UPDATE record SET raw = x'00' WHERE number = 2", "DELETE FROM record"])
def test_the_store_itself_refuses_changes(database: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        database.execute(statement)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE record SET raw = CAST(raw || x'20' AS BLOB) WHERE number = 2", Problem.CHANGED),
        ("UPDATE record SET at = '2026-01-01T00:00:00+00:00' WHERE number = 1", Problem.CHANGED),
        ('UPDATE record SET facts = \'{"card":"x"}\' WHERE number = 1', Problem.CHANGED),
        ("UPDATE record SET begin_number = 3 WHERE number = 2", Problem.CHANGED),
        ("DELETE FROM record WHERE number = 2", Problem.ROWS_MISSING),
        ("DELETE FROM record WHERE number = 4", Problem.ROWS_MISSING),
        ("UPDATE record SET kind = 'nothing' WHERE number = 3", Problem.UNREADABLE),
        ("DROP TABLE record", Problem.ROWS_MISSING),
    ],
)
def test_whoever_gets_around_that_is_found_out(database: sqlite3.Connection, statement: str, problem: Problem) -> None:
    assert signed_archive.check(at_least=4).problems == ()
    database.execute("DROP TRIGGER record_is_not_changed")
    database.execute("DROP TRIGGER record_is_not_deleted")
    database.execute(statement)
    database.commit()
    assert problem in signed_archive.check(at_least=4).problems


def test_a_row_that_makes_no_sense_is_refused_to_whoever_asks_for_its_session(database: sqlite3.Connection) -> None:
    database.execute("DROP TRIGGER record_is_not_changed")
    database.execute("UPDATE record SET kind = 'nothing' WHERE number = 1")
    database.commit()

    with pytest.raises(ArchiveUnusable, match="row 1"):
        signed_archive.of_session(1)


def test_a_damaged_file_is_a_problem_and_no_crash(data: DataDirectory, meter: RecordSigner) -> None:
    _keep_session(meter, 1)
    data.signed_archive.write_bytes(b"rubbish" * 1000)
    assert Problem.UNREADABLE in signed_archive.check(at_least=1).problems
    with pytest.raises(ArchiveUnusable):
        signed_archive.append(_entry(meter, meter.pair(first=3)[0]))
    assert data.signed_archive.read_bytes() == b"rubbish" * 1000


def test_a_full_store_is_told_and_loses_nothing(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = RecordSigner()
    _keep_session(meter, 1)
    tables = signed_archive._TABLES
    monkeypatch.setattr(signed_archive, "_TABLES", f"{tables} PRAGMA max_page_count = 1;")
    with pytest.raises(ArchiveUnusable, match="full"):
        _keep_sessions(meter, range(3, 40, 2))
    monkeypatch.setattr(signed_archive, "_TABLES", tables)
    assert signed_archive.check(at_least=2).problems == ()


@pytest.mark.django_db(transaction=True)
def test_a_factory_reset_adds_its_mark_and_leaves_the_rest_alone(data: DataDirectory, meter: RecordSigner) -> None:
    _keep_session(meter, 1)
    before = list(signed_archive.everything())
    data.create()
    factory_reset.order(keep_messages=False, actor="test", at=AT)
    factory_reset.carry_out(data)
    *kept, mark = signed_archive.everything()
    assert kept == before
    assert mark.entry.kind is Kind.TOLD
    assert signed_archive.check().problems == ()
