"""The way back to an earlier version: its tables, with every row as the later version has left it."""

import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from station.paths import DataDirectory
from station.services import database_fitting
from station.services.database_fitting import (
    applied_migrations,
    changing,
    copied,
    end_change,
    fit,
    go_on_without,
    is_changing,
    keep_copy,
)

FIRST, SECOND = ("station", "0001_first"), ("station", "0002_second")
EARLIER = """
CREATE TABLE django_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, app TEXT, name TEXT);
CREATE TABLE session (
    id INTEGER PRIMARY KEY AUTOINCREMENT, card TEXT NOT NULL, wh INTEGER NOT NULL CHECK (wh >= 0), gone TEXT NOT NULL
);
CREATE TABLE message (id INTEGER PRIMARY KEY AUTOINCREMENT, session_id INTEGER REFERENCES session (id), body TEXT);
CREATE TABLE dropped (id INTEGER PRIMARY KEY, text TEXT);
INSERT INTO django_migrations (app, name) VALUES ('station', '0001_first');
"""
HALF = """
DROP TABLE dropped;
INSERT INTO django_migrations (app, name) VALUES ('station', '0002_half');
"""
LATER = """
CREATE TABLE newer (
    id INTEGER PRIMARY KEY AUTOINCREMENT, card TEXT NOT NULL, wh INTEGER NOT NULL, signature TEXT NOT NULL
);
INSERT INTO newer (id, card, wh, signature) SELECT id, card, wh, '' FROM session;
DROP TABLE session;
ALTER TABLE newer RENAME TO session;
DROP TABLE IF EXISTS dropped;
CREATE TABLE unheard_of (id INTEGER PRIMARY KEY);
INSERT INTO django_migrations (app, name) VALUES ('station', '0002_second');
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataDirectory:
    monkeypatch.setattr(database_fitting, "known_migrations", lambda: {FIRST})
    return begin(tmp_path)


def begin(folder: Path) -> DataDirectory:
    data = DataDirectory(folder)
    make(data.database)
    script(data.database, "PRAGMA journal_mode=WAL")
    return data


def make(path: Path) -> None:
    script(path, EARLIER)


def script(path: Path, text: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(text)


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def update(data: DataDirectory) -> None:
    """Let the later version start for the first time."""
    keep_copy(data.database)
    script(data.database, LATER)
    end_change(data.database)


def stop_half_way(data: DataDirectory) -> None:
    """Lose the power between the two steps of the later version's first start."""
    keep_copy(data.database)
    script(data.database, HALF)


def test_a_database_of_this_version_or_an_earlier_one_is_left_alone(data: DataDirectory):
    assert fit(data, make=make) is None
    script(data.database, "DELETE FROM django_migrations")
    assert fit(data, make=make) is None
    data.database.unlink()
    assert fit(data, make=make) is None


def test_what_was_recorded_before_and_after_the_update_is_all_there(data: DataDirectory):
    script(data.database, "INSERT INTO session (card, wh, gone) VALUES ('a', 10, 'kept'), ('b', 20, 'kept')")
    script(data.database, "INSERT INTO dropped VALUES (1, 'old')")
    update(data)
    script(data.database, "UPDATE session SET wh = 25 WHERE card = 'b'; DELETE FROM session WHERE card = 'a'")
    script(data.database, "INSERT INTO session (card, wh, signature) VALUES ('c', 30, 's')")
    script(data.database, "INSERT INTO message (session_id, body) VALUES (3, 'StartTransaction')")

    fitted = fit(data, make=make)

    assert fitted is not None
    assert fitted.lost == 0
    assert rows(data.database, "SELECT * FROM session ORDER BY id") == [(2, "b", 25, "kept"), (3, "c", 30, "")]
    assert rows(data.database, "SELECT session_id, body FROM message") == [(3, "StartTransaction")]
    assert rows(data.database, "SELECT text FROM dropped") == [("old",)]
    assert applied_migrations(data.database) == {FIRST}
    assert rows(fitted.file, "SELECT signature FROM session WHERE card = 'c'") == [("s",)]
    assert fit(data, make=make) is None


def test_numbers_of_rows_that_are_gone_are_not_given_again(data: DataDirectory):
    update(data)
    script(data.database, "INSERT INTO message (id, body) VALUES (77, 'x'); DELETE FROM message")

    fit(data, make=make)

    script(data.database, "INSERT INTO message (body) VALUES ('y')")
    assert rows(data.database, "SELECT id FROM message") == [(78,)]


def test_without_a_copy_the_tables_are_made_anew(data: DataDirectory):
    script(data.database, "INSERT INTO session (card, wh, gone) VALUES ('a', 10, 'lost with the column')")
    update(data)
    copied(data.database).unlink()

    fitted = fit(data, make=make)

    assert fitted is not None
    assert rows(data.database, "SELECT * FROM session") == [(1, "a", 10, "")]


def test_a_row_that_breaks_a_rule_of_this_version_is_left_out_with_what_refers_to_it(data: DataDirectory):
    update(data)
    script(data.database, "INSERT INTO session (card, wh, signature) VALUES ('a', -5, ''), ('b', 5, '')")
    script(data.database, "INSERT INTO message (session_id, body) VALUES (1, 'x'), (2, 'y')")

    fitted = fit(data, make=make)

    assert fitted is not None
    assert fitted.lost == 2
    assert rows(data.database, "SELECT card FROM session") == [("b",)]
    assert rows(data.database, "SELECT body FROM message") == [("y",)]


def test_the_copy_is_as_private_as_the_database(data: DataDirectory):
    update(data)

    assert copied(data.database).stat().st_mode & 0o777 == 0o600
    assert rows(copied(data.database), "SELECT name FROM django_migrations") == [("0001_first",)]


def test_a_new_database_has_nothing_to_be_copied(tmp_path: Path):
    keep_copy(tmp_path / "station.sqlite3")
    (tmp_path / "station.sqlite3").touch()
    keep_copy(tmp_path / "station.sqlite3")

    assert not copied(tmp_path / "station.sqlite3").exists()


@pytest.mark.parametrize("moment", ["link", "replace", "fsync"])
def test_power_lost_in_the_middle_loses_nothing(data: DataDirectory, monkeypatch: pytest.MonkeyPatch, moment: str):
    update(data)
    script(data.database, "INSERT INTO session (card, wh, signature) VALUES ('c', 30, 's')")

    def power_cut(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        if moment == "replace":
            patch.setattr(Path, "replace", power_cut)
        else:
            patch.setattr(os, moment, power_cut)
        fit(data, make=make)

    fit(data, make=make)

    assert rows(data.database, "SELECT card, wh FROM session") == [("c", 30)]
    assert applied_migrations(data.database) == {FIRST}
    assert not list(data.root.glob(".*"))


cards = st.dictionaries(st.integers(1, 50), st.tuples(st.text(max_size=5), st.integers(0, 10**9)), max_size=8)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=cards, after=cards, has_copy=st.booleans())
def test_whatever_was_recorded_meanwhile_is_there_afterwards(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    *,
    before: dict[int, tuple[str, int]],
    after: dict[int, tuple[str, int]],
    has_copy: bool,
):
    monkeypatch.setattr(database_fitting, "known_migrations", lambda: {FIRST})
    data = begin(tmp_path_factory.mktemp("station"))
    fill(data.database, "INSERT INTO session (id, card, wh, gone) VALUES (?, ?, ?, 'kept')", before)
    update(data)
    if not has_copy:
        copied(data.database).unlink()
    script(data.database, "DELETE FROM session")
    fill(data.database, "INSERT INTO session (id, card, wh, signature) VALUES (?, ?, ?, '')", after)

    fitted = fit(data, make=make)

    assert fitted is not None
    assert fitted.lost == 0
    found = {number: (card, wh) for number, card, wh in rows(data.database, "SELECT id, card, wh FROM session")}
    assert found == after
    kept = dict(rows(data.database, "SELECT id, gone FROM session"))
    assert all(kept[number] == ("kept" if has_copy and number in before else "") for number in after)


def fill(path: Path, insert: str, values: dict[int, tuple[str, int]]) -> None:
    lines: Iterable[tuple[Any, ...]] = ((number, *rest) for number, rest in values.items())
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(insert, lines)


def test_what_cannot_be_fitted_leaves_no_log_that_would_be_played_into_the_copy(data: DataDirectory) -> None:
    update(data)
    log = data.database.with_name(f"{data.database.name}-wal")
    with closing(sqlite3.connect(data.database)) as reader, closing(sqlite3.connect(data.database)) as writer:
        # As after a power cut: the last row stands in the log only.
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM session").fetchall()
        writer.execute("INSERT INTO session (card, wh, signature) VALUES ('later', 1, '')")
        writer.commit()
        assert log.stat().st_size

        aside = go_on_without(data)

    assert not log.exists()
    assert applied_migrations(data.database) == {FIRST}
    assert data.database.stat().st_mode & 0o077 == 0
    assert ("later",) in rows(aside, "SELECT card FROM session")
    assert data.sessions_to_rebuild.exists()


def test_a_copy_that_is_damaged_stands_in_for_nothing(data: DataDirectory) -> None:
    update(data)
    copied(data.database).write_bytes(b"no database" * 500)

    aside = go_on_without(data)

    assert not data.database.exists()
    assert applied_migrations(aside) == {FIRST, SECOND}


def test_a_copy_that_is_damaged_costs_no_row(data: DataDirectory) -> None:
    update(data)
    script(data.database, "INSERT INTO session (card, wh, signature) VALUES ('c', 30, 's')")
    copied(data.database).write_bytes(b"no database" * 500)

    fitted = fit(data, make=make)

    assert fitted is not None
    assert (fitted.rows, fitted.lost) == (1, 0)
    assert rows(data.database, "SELECT card FROM session") == [("c",)]


def test_power_lost_between_two_steps_of_an_update_does_not_spoil_the_way_back(data: DataDirectory) -> None:
    script(data.database, "INSERT INTO session (card, wh, gone) VALUES ('a', 10, 'kept')")
    script(data.database, "INSERT INTO dropped VALUES (1, 'old')")
    stop_half_way(data)

    # The next start goes on where this one has stopped.
    update(data)
    fitted = fit(data, make=make)

    assert fitted is not None
    assert rows(data.database, "SELECT card, gone FROM session") == [("a", "kept")]
    assert rows(data.database, "SELECT text FROM dropped") == [("old",)]
    assert not is_changing(data.database)


def test_the_next_update_makes_a_copy_of_its_own(data: DataDirectory) -> None:
    update(data)

    keep_copy(data.database)

    assert applied_migrations(copied(data.database)) == {FIRST, SECOND}


def test_after_the_way_back_from_half_an_update_the_next_one_copies_what_is_there_then(data: DataDirectory) -> None:
    stop_half_way(data)
    assert fit(data, make=make) is not None
    # The earlier version runs for a year, and knows nothing of the mark.
    script(data.database, "INSERT INTO session (card, wh, gone) VALUES ('a', 10, 'kept')")

    keep_copy(data.database)

    assert rows(copied(data.database), "SELECT card, gone FROM session") == [("a", "kept")]


def test_a_mark_of_another_copy_is_not_believed(data: DataDirectory) -> None:
    stop_half_way(data)
    # A version in between has made a copy of its own, and changed the tables as it wanted them.
    copied(data.database).unlink()
    script(copied(data.database), EARLIER)

    keep_copy(data.database)

    assert ("station", "0002_half") in applied_migrations(copied(data.database))


def test_a_copy_that_is_damaged_is_made_again(data: DataDirectory) -> None:
    stop_half_way(data)
    copied(data.database).write_bytes(b"no database" * 500)
    changing(data.database).write_bytes(database_fitting._name_of_content(copied(data.database)))

    keep_copy(data.database)

    assert applied_migrations(copied(data.database))
