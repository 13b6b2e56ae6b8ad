#!/usr/bin/env python
"""The command line of the station: `manage.py runstation`, `config`, `rotatekey`, `doctor` and Django's own."""

import errno
import os
import sys
from pathlib import Path

from station.paths import DataDirectoryRefused
from station.processes import without_docstrings
from station.processes.plan import set_environment

# What runs for months; other commands end soon.
_STAYS = {"runstation", "runprocess"}
_DISK_TROUBLES = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_DATABASE_TROUBLES = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")
_DATABASE_DAMAGES = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def _take_data_dir(arguments: list[str]) -> str | None:
    """Find --data-dir before Django loads its settings, because every path and the database depend on it."""
    for index, argument in enumerate(arguments):
        if argument == "--data-dir" and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith("--data-dir="):
            return argument.partition("=")[2]
    return None


def main() -> None:
    if _STAYS.intersection(sys.argv[1:2]):
        without_docstrings.install()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")
    data_dir = _take_data_dir(sys.argv)
    if data_dir:
        os.environ["STATION_DATA_DIR"] = str(Path(data_dir).expanduser().absolute())
    set_environment(sys.argv[1:], os.environ)
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except DataDirectoryRefused as refusal:
        sys.exit(str(refusal))
    except Exception as problem:
        explained = _refusal(problem, os.environ.get("STATION_DATA_DIR", "data"))
        if explained is None:
            raise
        sys.exit(str(explained))


def _refusal(problem: Exception, root: str) -> DataDirectoryRefused | None:
    """Explain what a full or read-only disk or a damaged database has refused; None for everything else."""
    if isinstance(problem, OSError) and problem.errno in _DISK_TROUBLES:
        return DataDirectoryRefused.because_of(problem.strerror, root)
    # Django's exception wraps that of the database.
    name = getattr(problem.__cause__, "sqlite_errorname", "")
    if name.startswith(_DATABASE_TROUBLES):
        return DataDirectoryRefused.because_of(str(problem), root)
    return DataDirectoryRefused.damaged(str(problem), root) if name.startswith(_DATABASE_DAMAGES) else None


if __name__ == "__main__":
    main()
