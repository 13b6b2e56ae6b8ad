"""The database of a station that goes back to an earlier version of its software.

New software copies the database before it changes the tables. When the computer goes back, the earlier version finds
tables it does not know. It takes the copy – or new tables, if there is none – and fills in every row as it is *now*, so
that nothing is lost that was recorded in between: sessions, messages, cards, settings, the audit trail. What only the
later version knows stays in the file it has left, which is kept beside.

A change of the tables has several steps, and the power may go between two of them. The copy then stays the one of
before the first step: a mark (`database_changing`) says for which copy a change has begun and not ended.

The signed archive (`signed_archive`) is a file of its own and goes neither forth nor back.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from station import private_files
from station.domain.table_fitting import Column, Taking, neutral, plan
from station.paths import DataDirectory
from station.services import database_file

logger = logging.getLogger(__name__)

Migration = tuple[str, str]
_PRIVATE = 0o600
_BUSY_S = 10.0
_MIGRATIONS = "django_migrations"
# A row that refers to one that could not be taken over goes, too; so may others that refer to it.
_MOST_ROUNDS = 10


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was done: rows taken over, rows that could not be, and where the file of the later version is."""

    rows: int
    lost: int
    file: Path


def known_migrations() -> set[Migration]:
    """Return the migrations this version of the software has."""
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(None, ignore_no_migrations=True)
    return set(loader.disk_migrations)


def applied_migrations(database: Path) -> set[Migration]:
    """Return the migrations a database has; none where there is no database, or an empty one."""
    if not database.exists() or not database.stat().st_size:
        return set()
    with closing(_opened(database)) as connection:
        if _MIGRATIONS not in _tables(connection, "main"):
            return set()
        rows = connection.execute(f"SELECT app, name FROM {_MIGRATIONS}").fetchall()  # noqa: S608 - a name of ours
    return {(str(app), str(name)) for app, name in rows}


def keep_copy(database: Path) -> None:
    """Copy the database before its tables are changed. Raises OSError or sqlite3.Error; then nothing may be changed.

    A change that was interrupted between two steps keeps the copy it has begun with. `end_change` belongs to it.
    """
    applied = applied_migrations(database)
    if not applied or _has_begun(database, applied):
        return
    with _draft(copied(database)) as draft:
        _copy(database, draft)
    private_files.write(changing(database), _name_of_content(copied(database)))


def is_changing(database: Path) -> bool:
    """Return whether a change of the tables has begun and nobody has noted its end."""
    return changing(database).exists()


def end_change(database: Path) -> None:
    """Note that the tables are as this version wants them: the next change makes a copy of its own."""
    if is_changing(database):
        changing(database).unlink()
        private_files.flush_directory(database.parent)


def _has_begun(database: Path, applied: set[Migration]) -> bool:
    """Return whether the copy that is there is the one of before a change that stopped half-way.

    A mark that was left is not believed alone: an earlier version that knows nothing of marks may have made another
    copy since then, or the way back may have undone the change.
    """
    try:
        marked = private_files.read(changing(database))
        return marked == _name_of_content(copied(database)) and applied_migrations(copied(database)) < applied
    except (OSError, sqlite3.DatabaseError):
        return False


def _name_of_content(path: Path) -> bytes:
    """Tell one copy from the next: it is never written again once it has its name."""
    found = path.stat()
    return f"{found.st_ino} {found.st_mtime_ns} {found.st_size}\n".encode()


def go_on_without(data: DataDirectory) -> Path:
    """Set aside a database that cannot be fitted, and go on with the copy of the one before, if it is of use.

    Return where the database is. Without a copy there is none then.
    """
    if copied(data.database).exists():
        try:
            with _draft(data.database) as draft:
                _copy(copied(data.database), draft)
                return database_file.set_aside(data)
        except sqlite3.Error:
            logger.exception("the copy of the database before cannot be used either")
    return database_file.set_aside(data)


def _copy(source: Path, target: Path) -> None:
    with closing(_opened(source)) as original, closing(_opened(target)) as copy:
        original.backup(copy)
        _complete(copy)


def copied(database: Path) -> Path:
    """Name the copy of a database as it was before its tables were changed last."""
    return database.with_name(f"{database.name}.before")


def changing(database: Path) -> Path:
    """Name the mark of a change of the tables that has begun: it says which copy is the one of before."""
    return database.with_name(f"{database.name}.changing")


def fit(data: DataDirectory, *, make: Callable[[Path], None]) -> Fitted | None:
    """Fit a database that a later version has left to this one; None: there was nothing to do.

    For a start, while no other process has the database. `make` lays the tables of this version into a new file. It can
    be interrupted anywhere: the file is replaced at once, when all is done.
    """
    known, applied = known_migrations(), applied_migrations(data.database)
    applications = {application for application, _ in known}
    if not {one for one in applied - known if one[0] in applications}:
        # Tables of an application that is not part of this version are in nobody's way.
        return None
    logger.warning("the database was left by a later version; it is fitted to this one")
    with _draft(data.database.with_name(f"{data.database.name}.fitted")) as draft:
        if not _take_copy(copied(data.database), draft, known):
            make(draft)
        with closing(_opened(data.database)) as later:
            # What stands in its log belongs to the file, which gets another name.
            _complete(later)
        rows, lost = _fill(draft, data.database)
        data.database_later.unlink(missing_ok=True)
        os.link(data.database, data.database_later)
        private_files.flush_directory(data.root)
        draft.replace(data.database)
        private_files.flush_directory(data.root)
    return Fitted(rows=rows, lost=lost, file=data.database_later)


def _take_copy(before: Path, draft: Path, known: set[Migration]) -> bool:
    """Begin with the database as it was before; return whether it is there, whole, and of this version."""
    try:
        applied = applied_migrations(before)
        if not applied or not applied <= known:
            return False
        _copy(before, draft)
    except sqlite3.DatabaseError as error:
        logger.warning("the copy of the database before is damaged: %s", error)
        os.truncate(draft, 0)
        return False
    return True


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Give a file beside `path`; it takes its place when all went well, unless it was moved before."""
    draft = path.with_name(f".{path.name}.new")
    _remove(draft)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE))
    try:
        yield draft
        if draft.exists():
            draft.replace(path)
            private_files.flush_directory(path.parent)
    finally:
        _remove(draft)


def _remove(draft: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal"):
        draft.with_name(draft.name + suffix).unlink(missing_ok=True)


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)


def _complete(connection: sqlite3.Connection) -> None:
    """Bring everything into the one file, and onto the disk."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
    if mode != "delete":
        raise sqlite3.OperationalError(f"the database is in use: journal mode {mode}")


def _fill(draft: Path, later: Path) -> tuple[int, int]:
    """Fill the rows of the later file in; return how many there are and how many could not be taken."""
    with closing(_opened(draft)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("ATTACH DATABASE ? AS later", (f"{later}",))
        connection.execute("BEGIN IMMEDIATE")
        own, theirs = (_described(connection, schema) for schema in ("main", "later"))
        taken = [_take(connection, one) for one in plan(own, theirs)]
        lost = sum(lost for _, lost in taken) + _drop_strays(connection)
        _take_numbers(connection, set(own))
        connection.execute("COMMIT")
        connection.execute("DETACH DATABASE later")
        _complete(connection)
    return sum(rows for rows, _ in taken), lost


def _described(connection: sqlite3.Connection, schema: str) -> dict[str, list[Column]]:
    tables = (name for name in _tables(connection, schema) if name != _MIGRATIONS and not name.startswith("sqlite_"))
    return {
        table: [
            Column(name=name, type=kind, is_required=bool(required) and default is None and not key, is_key=bool(key))
            for _, name, kind, required, default, key in connection.execute(
                f"PRAGMA {schema}.table_info({_quoted(table)})"
            )
        ]
        for table in tables
    }


def _tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    rows = connection.execute(f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table'")  # noqa: S608 - ours
    return [str(row[0]) for row in rows]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _take(connection: sqlite3.Connection, taking: Taking) -> tuple[int, int]:
    """Replace the rows of a table; return how many were taken and how many could not be."""
    table = _quoted(taking.table)
    key, shared = ", ".join(map(_quoted, taking.key)), ", ".join(map(_quoted, taking.shared))
    kept = [_quoted(column.name) for column in taking.kept]
    before: dict[tuple[object, ...], tuple[object, ...]] = {}
    if kept:
        rows = connection.execute(f"SELECT {key}, {', '.join(kept)} FROM main.{table}")  # noqa: S608 - names quoted
        before = {tuple(row[: len(taking.key)]): tuple(row[len(taking.key) :]) for row in rows}
    # Columns with JSON are columns with text, and a rule.
    nothings = [tuple(neutral(column, text=text) for column in taking.kept) for text in ("", "{}")]
    places = ", ".join("?" * (len(taking.shared) + len(kept)))
    insert = f"INSERT INTO main.{table} ({', '.join([shared, *kept])}) VALUES ({places})"  # noqa: S608 - names quoted
    connection.execute(f"DELETE FROM main.{table}")  # noqa: S608 - names quoted
    taken = lost = 0
    for row in connection.execute(f"SELECT {key}, {shared} FROM later.{table}"):  # noqa: S608 - names quoted
        identity, values = tuple(row[: len(taking.key)]), tuple(row[len(taking.key) :])
        rests = [before[identity]] if identity in before else nothings
        if any(_is_taken(connection, insert, values + rest) for rest in rests):
            taken += 1
        else:
            logger.warning("a row of %s is not taken over: %s", taking.table, identity)
            lost += 1
    return taken, lost


def _is_taken(connection: sqlite3.Connection, insert: str, values: tuple[object, ...]) -> bool:
    try:
        connection.execute(insert, values)
    except sqlite3.IntegrityError as problem:
        logger.info("a row does not fit: %s", problem)
        return False
    return True


def _drop_strays(connection: sqlite3.Connection) -> int:
    """Delete rows that refer to one that is not there; return how many."""
    dropped = 0
    for _ in range(_MOST_ROUNDS):
        strays = connection.execute("PRAGMA main.foreign_key_check").fetchall()
        if not strays:
            break
        for table, row, *_rest in strays:
            logger.warning("row %s of %s refers to one that was not taken over", row, table)
            connection.execute(f"DELETE FROM main.{_quoted(table)} WHERE rowid = ?", (row,))  # noqa: S608 - quoted
            dropped += 1
    return dropped


def _take_numbers(connection: sqlite3.Connection, tables: set[str]) -> None:
    """Never give a row's number a second time: messages and transactions are known by theirs."""
    if "sqlite_sequence" not in _tables(connection, "main") or "sqlite_sequence" not in _tables(connection, "later"):
        return
    given = dict(connection.execute("SELECT name, seq FROM later.sqlite_sequence"))
    own = dict(connection.execute("SELECT name, seq FROM main.sqlite_sequence"))
    for table in tables & given.keys():
        number = max(given[table], own.get(table, 0))
        connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?", (table,))
        connection.execute("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", (table, number))
