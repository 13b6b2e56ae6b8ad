#!/usr/bin/env python
"""The command line of the station: `manage.py runstation`, `config`, `rotatekey`, `doctor` and Django's own.

The program stationctl of the Debian package calls `manage.py stationctl COMMAND`: the station's own commands only.
"""

import errno
import gettext
import os
import sys
from pathlib import Path

from station.management import output, own_commands
from station.paths import DataDirectoryRefused
from station.processes import without_docstrings
from station.processes.plan import set_environment

# What runs for months; other commands end soon.
_STAYS = {"runstation", "runprocess"}
_WRONG_COMMAND_LINE = 2
_DISK_TROUBLES = {errno.ENOSPC, errno.EROFS, errno.EDQUOT}
_DATABASE_TROUBLES = ("SQLITE_FULL", "SQLITE_READONLY", "SQLITE_CANTOPEN")
_DATABASE_DAMAGES = ("SQLITE_NOTADB", "SQLITE_CORRUPT")


def _option(name: str, arguments: list[str]) -> str | None:
    """Find an option before Django reads them: every path depends on --data-dir, and refusals have a language."""
    for index, argument in enumerate(arguments):
        if argument == name and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
    return None


def main() -> None:
    """Run a command."""
    output.run(_run)


def _run() -> None:
    if sys.argv[1:2] == ["stationctl"]:
        sys.argv = ["stationctl", *sys.argv[2:]]
        _answer_for_stationctl()
    if _STAYS.intersection(sys.argv[1:2]):
        without_docstrings.install()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "station.settings")
    data_dir = _option("--data-dir", sys.argv)
    if data_dir:
        os.environ["STATION_DATA_DIR"] = str(Path(data_dir).expanduser().absolute())
    set_environment(sys.argv[1:], os.environ)
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except DataDirectoryRefused as refusal:
        sys.exit(_said(refusal))
    except Exception as problem:
        explained = _refusal(problem, os.environ.get("STATION_DATA_DIR", "data"))
        if explained is None:
            raise
        sys.exit(_said(explained))


def _answer_for_stationctl() -> None:
    """End with a list of commands where none was named, or one that is not the station's."""
    try:
        said = own_commands.answer(sys.argv[1:], _translated)
    except own_commands.NoSuchCommand as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(_WRONG_COMMAND_LINE)
    if said is not None:
        sys.stdout.write(f"{said}\n")
        sys.exit()
    if above := own_commands.introduction(sys.argv[1:], _translated):
        sys.stdout.write(f"{above}\n")


def _said(refusal: DataDirectoryRefused) -> str:
    return _translated(refusal.template) % refusal.data


def _translated(text: str) -> str:
    """Return a text in the language of --lang; Django's settings may be what has failed, so not through Django."""
    language = _option("--lang", sys.argv) or "en"
    texts = gettext.translation("django", Path(__file__).parent / "locale", [language], fallback=True)
    return texts.gettext(text)


def _refusal(problem: Exception, root: str) -> DataDirectoryRefused | None:
    """Explain what a disk or another owner of a file, or a damaged database has refused; None for everything else."""
    if (
        isinstance(problem, PermissionError)
        and problem.filename is not None
        and Path(root).absolute() in _parents(problem.filename)
    ):
        return DataDirectoryRefused.not_permitted(problem.filename)
    if isinstance(problem, OSError) and problem.errno in _DISK_TROUBLES:
        return DataDirectoryRefused.because_of(problem.strerror, root)
    # Django's exception wraps that of the database.
    name = getattr(problem.__cause__, "sqlite_errorname", "")
    if name.startswith(_DATABASE_TROUBLES):
        return DataDirectoryRefused.because_of(str(problem), root)
    return DataDirectoryRefused.damaged(str(problem), root) if name.startswith(_DATABASE_DAMAGES) else None


def _parents(filename: str) -> list[Path]:
    path = Path(filename).absolute()
    return [path, *path.parents]


if __name__ == "__main__":
    main()
