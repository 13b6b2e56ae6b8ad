#!/usr/bin/env python
"""The command line of the station: `manage.py runstation`, `config`, `rotatekey`, `doctor` and Django's own."""

import os
import sys
from pathlib import Path

from station.paths import DataDirectoryRefused
from station.processes.plan import set_environment


def _take_data_dir(arguments: list[str]) -> str | None:
    """Find --data-dir before Django loads its settings, because every path and the database depend on it."""
    for index, argument in enumerate(arguments):
        if argument == "--data-dir" and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith("--data-dir="):
            return argument.partition("=")[2]
    return None


def main() -> None:
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


if __name__ == "__main__":
    main()
