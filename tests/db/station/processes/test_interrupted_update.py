"""Power lost between two steps of a change of the tables: the real steps, in a process of their own."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from station.paths import DataDirectory

ROOT = Path(__file__).parents[4]
# The computer loses its power when this many steps are done.
START = """
import os, sys
import django
django.setup()
from django.core.management import call_command
from django.db.migrations.executor import MigrationExecutor
from station.processes import preparation

apply, survived = MigrationExecutor.apply_migration, int(sys.argv[1])

def apply_or_die(*words, **named):
    global survived
    if not survived:
        os._exit(9)
    survived -= 1
    return apply(*words, **named)

if len(sys.argv) > 2:
    call_command("migrate", "station", sys.argv[2], verbosity=0)
MigrationExecutor.apply_migration = apply_or_die
preparation.migrate()
"""
BEFORE, CUT = "0018", 9


def start(data: DataDirectory, survives: int, *of_version: str) -> int:
    environment = os.environ | {"STATION_DATA_DIR": str(data.root), "DJANGO_SETTINGS_MODULE": "station.settings"}
    command = [sys.executable, "-c", START, str(survives), *of_version]
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def steps(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {f"{app}.{name}" for app, name in connection.execute("SELECT app, name FROM django_migrations")}


def test_the_copy_stays_that_of_before_the_first_step(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.create()
    assert start(data, 0, BEFORE) == CUT
    delivered = steps(data.database)

    assert start(data, 2) == CUT
    assert len(steps(data.database)) == len(delivered) + 2
    assert start(data, 1) == CUT
    assert start(data, 99) == 0

    assert steps(data.database_before) == delivered
    assert "station.0020_signed_sessions" in steps(data.database)
    assert not data.database_changing.exists()
