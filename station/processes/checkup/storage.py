"""Directory, disk, database, identity."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from station.domain.concerns import SCARCE_BYTES, TOO_FEW_BYTES
from station.processes.checkup.finding import Finding, problem, warning

_NAMED_FILES = 5
_MEGABYTE = 1_000_000


def directory() -> Iterator[Finding]:
    """Check the data directory's permissions."""
    subject, root = _("data directory"), settings.DATA.root
    if not root.exists():
        yield _missing_directory(subject, root)
    elif not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield problem(
            subject,
            _("%(path)s cannot be written") % {"path": root},
            _("Give it to the user the station runs as: chown -R USER DIR"),
        )
    elif stat.S_IMODE(root.stat().st_mode) & 0o077:
        yield warning(
            subject,
            _("%(path)s can be read by other users, and it holds secrets") % {"path": root},
            _("Close it: chmod 700 DIR"),
        )
    elif foreign := _files_of_others(root):
        yield problem(
            subject,
            _("these files belong to another user: %(files)s") % {"files": ", ".join(foreign)},
            _("Give it to the user the station runs as: chown -R USER DIR"),
        )
    else:
        yield Finding(subject=subject, text=str(root))


def _missing_directory(subject: str, root: Path) -> Finding:
    if os.access(settings.DATA.nearest_folder, os.W_OK | os.X_OK):
        return warning(subject, _("there is no %(path)s yet") % {"path": root}, _("It is made at the first start."))
    return problem(
        subject,
        _("there is no %(path)s yet, and this user may not make it") % {"path": root},
        _("Make it for the user the station runs as: sudo install -d -o USER -m 0700 %(path)s") % {"path": root},
    )


def _files_of_others(root: Path) -> list[str]:
    """Name some files that a command of another user has left, and that the station cannot write."""
    found = (path for path in root.rglob("*") if path.lstat().st_uid != os.geteuid())
    return [str(path.relative_to(root)) for path in islice(found, _NAMED_FILES)]


def free_space() -> Iterator[Finding]:
    """Check the free disk space."""
    subject, free = _("disk space"), shutil.disk_usage(settings.DATA.nearest_folder).free
    text = _("%(megabytes)d MB free") % {"megabytes": free // _MEGABYTE}
    if free < SCARCE_BYTES:
        found = problem if free < TOO_FEW_BYTES else warning
        yield found(subject, text, _("Delete what is not needed; sessions cannot be recorded on a full disk."))
    else:
        yield Finding(subject=subject, text=text)


def database() -> Iterator[Finding]:
    """Let SQLite examine the file, and see whether the tables are those of this version."""
    subject = _("database")
    try:
        if not has_tables():
            yield warning(
                subject,
                _("there is none yet: nothing was started here so far"),
                _("It is made at the first start: systemctl start station.target, or manage.py runstation."),
            )
            return
        with closing(_open_read_only()) as connection:
            complaints = [row[0] for row in connection.execute("PRAGMA quick_check(5)") if row[0] != "ok"]
            complaints += [f"{row[0]} {row[1]}" for row in connection.execute("PRAGMA foreign_key_check")][:5]
    except sqlite3.Error as error:
        complaints = [str(error)]
    if complaints:
        yield problem(
            subject,
            _("damaged: %(complaints)s") % {"complaints": "; ".join(complaints)},
            _("Stop the station, keep a copy of the file, and restore the last backup."),
        )
        return
    if _has_unapplied_migrations():
        yield warning(subject, _("from an earlier version"), _("It is brought up to date at the next start."))
    else:
        yield Finding(subject=subject, text=_("in order"))


def has_tables() -> bool:
    """Return whether a start has made a database here; asking makes no file. Raises sqlite3.Error."""
    if not settings.DATA.has_database:
        return False
    with closing(_open_read_only()) as connection:
        named = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'django_migrations'")
        return named.fetchone() is not None


def _open_read_only() -> sqlite3.Connection:
    """Open a connection of its own, so that a check changes nothing."""
    return sqlite3.connect(f"{settings.DATA.database.as_uri()}?mode=ro", uri=True)


def _has_unapplied_migrations() -> bool:
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def secrets() -> Iterator[Finding]:
    """See whether the secrets in the database can be read."""
    from django.db import DatabaseError

    from station.services import secret_storage
    from station.ui import words

    subject = _("secrets")
    if not settings.DATA.has_database:
        return
    try:
        lost = secret_storage.lost()
    except DatabaseError:
        # The check of the database says why.
        return
    if lost:
        yield warning(
            subject, words.secrets_lost(lost), _("Put storage.key back, or set them again: manage.py config set KEY -")
        )
    else:
        yield Finding(subject=subject, text=_("encrypted and readable"))


def identity() -> Iterator[Finding]:
    """Read the identity."""
    from station.services import identity as service

    subject = _("identity")
    try:
        made = service.read()
    except service.IdentityFileBroken as error:
        yield problem(subject, _("the file is broken"), str(error))
        return
    if not made.serial:
        yield warning(subject, _("there is no serial number yet"), _("One is made at the first start."))
    else:
        yield Finding(subject=subject, text=f"{made.vendor} {made.model} {made.serial}")
