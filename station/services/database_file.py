"""The file of the database: found damaged at a start it is moved aside, so that the station starts and nothing is lost.

What it holds can be read with the tools of SQLite (`.recover`); the new one begins as a factory-new station does.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from station import private_files
from station.paths import DataDirectory

# Primary result codes of SQLite that speak of the file itself. A lock, a full disk or a failed read are no damage.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_PRIMARY = 0xFF
# https://sqlite.org/fileformat.html, section 1.3.1
_MAGIC = b"SQLite format 3\0"
_COMPANIONS = ("-wal", "-shm")
_BUSY_S = 10.0


def damage(database: Path) -> str | None:
    """Return what is wrong with the file; None when it can be used, or when that cannot be told now."""
    if not _exists(database):
        return None
    with database.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            # Not opened: SQLite would first write what its log still holds into it.
            return "file is not a database"
    # A log that is left over means an end without order, after which the pages are worth a look (measured: 5 ms a MB).
    log = database.with_name(f"{database.name}-wal")
    ended_in_order = not log.exists() or not log.stat().st_size
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_S)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            found = [] if ended_in_order else connection.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        return str(error) if code & _PRIMARY in _DAMAGED else None
    return next((str(row[0]) for row in found if row[0] != "ok"), None)


def _exists(database: Path) -> bool:
    return database.exists() and bool(database.stat().st_size)


def set_damaged_aside(data: DataDirectory) -> tuple[Path, str] | None:
    """Move a damaged database and what belongs to it aside; return its new name and what is wrong with it."""
    problem = damage(data.database)
    if problem is None and not _exists(data.database) and _has_run(data):
        # Lost as a whole, as after a repair of the file system; its log, which SQLite would throw away, may be there.
        problem = "file is empty" if data.database.exists() else "file is missing"
        if not data.database.exists():
            # Stands for it, so that the loss is told until somebody takes this away.
            private_files.write(data.database, b"")
    return None if problem is None else (set_aside(data), problem)


def _has_run(data: DataDirectory) -> bool:
    return data.last_boot.exists() or data.signed_archive.exists()


def set_aside(data: DataDirectory) -> Path:
    """Move the database and what belongs to it aside; return its new name. A log left behind would spoil the next."""
    # Before anything else: a start that is interrupted from here on must not forget it.
    private_files.write(data.sessions_to_rebuild, b"")
    aside = private_files.set_aside(data.database)
    for suffix in _COMPANIONS:
        companion = data.database.with_name(data.database.name + suffix)
        if companion.exists():
            # Under the name SQLite looks for beside the file.
            companion.rename(aside.with_name(aside.name + suffix))
    private_files.flush_directory(data.root)
    return aside


def aside(data: DataDirectory) -> list[str]:
    """Name the databases that were moved aside and not yet taken away by somebody."""
    found = private_files.files_set_aside(data.root)
    return [
        path.name for path in found if path.name.startswith(data.database.name) and not path.name.endswith(_COMPANIONS)
    ]
