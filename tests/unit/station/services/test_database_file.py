"""Telling a damaged database from one that is only busy, new or left behind by a power cut."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.paths import DataDirectory
from station.services import database_file


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    data = DataDirectory(tmp_path)
    with closing(sqlite3.connect(data.database)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, text TEXT)")
        database.executemany("INSERT INTO record (text) VALUES (?)", (("x" * 1000,) for _ in range(100)))
        database.commit()
    return data


@pytest.fixture
def writer(data: DataDirectory) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(data.database)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO record (text) VALUES ('under way')")
        yield database


def test_a_good_one_a_new_one_and_none_at_all_are_no_damage(data: DataDirectory, tmp_path: Path) -> None:
    assert database_file.set_damaged_aside(data) is None
    (tmp_path / "empty").touch()
    assert database_file.damage(tmp_path / "empty") is None
    assert database_file.damage(tmp_path / "absent") is None


def test_one_that_somebody_writes_at_this_moment_is_no_damage(data: DataDirectory, writer: sqlite3.Connection) -> None:
    assert database_file.damage(data.database) is None


def test_a_torn_page_is_found_after_an_end_without_order_and_everything_is_moved_together(data: DataDirectory) -> None:
    with data.database.open("r+b") as file:
        file.seek(8 * 4096)
        file.write(bytes(4096))
    log = data.database.with_name("station.sqlite3-wal")
    assert database_file.damage(data.database) is None
    log.write_bytes(b"left over")
    content = data.database.read_bytes()

    found = database_file.set_damaged_aside(data)

    assert found is not None
    assert found[0].read_bytes() == content
    assert not data.database.exists()
    assert database_file.aside(data) == ["station.sqlite3.broken-1"]


def test_a_file_that_is_no_database_is_moved_aside_each_time(data: DataDirectory) -> None:
    for number in (1, 2):
        data.database.write_bytes(b"no database at all" * 100)
        assert database_file.set_damaged_aside(data) is not None
        assert len(database_file.aside(data)) == number


@pytest.mark.parametrize("missing", [False, True])
def test_one_that_is_lost_as_a_whole_is_told_and_its_log_is_kept(data: DataDirectory, *, missing: bool) -> None:
    data.last_boot.touch()
    log = data.database.with_name("station.sqlite3-wal")
    log.write_bytes(b"left over")
    if missing:
        data.database.unlink()
    else:
        data.database.write_bytes(b"")

    found = database_file.set_damaged_aside(data)

    assert found is not None
    assert found[1] == ("file is missing" if missing else "file is empty")
    assert database_file.aside(data) == ["station.sqlite3.broken-1"]
    assert found[0].with_name("station.sqlite3.broken-1-wal").read_bytes() == b"left over"
    assert data.sessions_to_rebuild.exists()
    assert not data.database.exists()


def test_an_empty_one_where_no_station_has_run_is_no_loss(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.database.touch()
    assert database_file.set_damaged_aside(data) is None
    data.database.unlink()
    assert database_file.set_damaged_aside(data) is None
    assert database_file.aside(data) == []
