"""A stranger with a copy of the data directory, and another user of the same computer."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.station import MANAGE, Station

pytestmark = pytest.mark.process
CANARY = "canary-4711-canary-key"
SIGNED = "https://files.example.com/up?sig=canary-signature-4711"


def found_in(directory: Path, *texts: str) -> list[str]:
    """Return which files of a directory hold one of the texts."""
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path.name for path in files if any(text.encode() in path.read_bytes() for text in texts)]


def station_of_an_earlier_version(tmp_path: Path) -> Station:
    """Make a database with secrets in clear: in rows, in pages of deleted rows, in a log that was not written back."""
    station = Station(data=tmp_path / "station")
    station.config_set({"HeartbeatInterval": "60"})
    file = station.data / "station.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        database.executescript("PRAGMA user_version = 0; PRAGMA secure_delete = OFF;")
        insert = "INSERT INTO station_configurationvalue (key, value, changed_at) VALUES (?, ?, '2026-01-01 00:00:00')"
        for number in range(200):
            database.execute(insert, (f"Gone{number}", f"{number}-{CANARY}" * 20))
        database.commit()
        database.execute("DELETE FROM station_configurationvalue WHERE key LIKE 'Gone%'")
        database.execute(insert, ("AuthorizationKey", CANARY))
        columns: dict[str, str | int] = {
            "kind": "diagnostics",
            "request": json.dumps({"location": SIGNED}),
            "encrypted_request": "",
        }
        columns |= {"status": "Idle", "step": "waiting", "attempts": 0, "created_at": "2026-01-01", "file": "x"}
        names, marks = ", ".join([*columns, "data"]), ", ".join("?" * (len(columns) + 1))
        database.execute(f"INSERT INTO station_filejob ({names}) VALUES ({marks})", [*columns.values(), "{}"])  # noqa: S608
        database.commit()
        log = (station.data / "station.sqlite3-wal").read_bytes()
    (station.data / "station.sqlite3-wal").write_bytes(log)
    for name in ("ocpp.log", "ocpp.log.1"):
        (station.data / "logs" / name).write_text(
            f'< [2,"1","GetDiagnostics",{{"location":"{SIGNED}"}}]\nGr\xfc\xdfe\n'
        )
    assert found_in(station.data, CANARY)
    return station


def test_after_the_first_start_of_this_version_no_file_holds_a_secret_in_clear(tmp_path: Path) -> None:
    station = station_of_an_earlier_version(tmp_path)

    done = station.manage("runprocess", "prepare", "--data-dir", str(station.data))

    assert done.returncode == 0, done.stderr
    assert found_in(station.data, CANARY, "canary-signature") == []
    assert "files.example.com/up?***" in (station.data / "logs" / "ocpp.log.1").read_text()
    assert (
        "AuthorizationKey=***"
        in station.manage("config", "get", "--data-dir", str(station.data), "AuthorizationKey").stdout
    )


KILLED_BEFORE_A_STATEMENT = """
import os, signal, sys, django
django.setup()
from django.db import connection
from station.processes import preparation
from station.services import secret_storage

count = 0

def kill(execute, sql, params, many, context):
    global count
    count += 1
    if count == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return execute(sql, params, many, context)

preparation.migrate()
with connection.execute_wrapper(kill):
    secret_storage.protect_earlier_values()
"""


def test_killed_before_any_statement_of_it_nothing_is_lost_and_the_next_start_ends_it(tmp_path: Path) -> None:
    station = station_of_an_earlier_version(tmp_path)
    environment = {**os.environ, "STATION_DATA_DIR": str(station.data), "DJANGO_SETTINGS_MODULE": "station.settings"}

    for number in range(1, 50):
        command = [sys.executable, "-c", KILLED_BEFORE_A_STATEMENT, str(number)]
        done = subprocess.run(command, env=environment, cwd=MANAGE.parent, check=False, capture_output=True)
        if done.returncode != -signal.SIGKILL:
            break
        listed = station.manage("config", "get", "--data-dir", str(station.data), "AuthorizationKey")
        assert "AuthorizationKey=***" in listed.stdout

    assert (done.returncode, number > 5) == (0, True), done.stderr
    assert found_in(station.data, CANARY, "canary-signature") == []


def test_a_secret_comes_from_standard_input_and_appears_nowhere(tmp_path: Path) -> None:
    data = tmp_path / "station"
    command = [
        sys.executable,
        str(MANAGE),
        "config",
        "set",
        "--data-dir",
        str(data),
        "AuthorizationKey",
        "-",
        "CpoName=X",
    ]

    done = subprocess.run(command, input=f"{CANARY}\n", capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["AuthorizationKey=***", "CpoName=X"]
    assert done.stderr == ""
    assert found_in(data, CANARY) == []


def test_a_secret_on_the_command_line_is_taken_with_a_warning(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")

    done = station.manage("config", "set", "--data-dir", str(station.data), f"AuthorizationKey={CANARY}")

    assert done.returncode == 0
    assert "config set AuthorizationKey -" in done.stderr
    assert CANARY not in done.stderr + done.stdout


def test_no_journal_gets_the_factory_password(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")

    done = station.manage("runprocess", "prepare", "--data-dir", str(station.data))

    password = station.data / "factory_password.txt"
    assert password.read_text().strip() not in done.stdout + done.stderr
    assert str(password) in done.stdout
    assert stat.S_IMODE(password.stat().st_mode) == 0o600


def test_whatever_a_start_has_made_is_closed_to_other_users(tmp_path: Path) -> None:
    os.umask(0o000)
    with Station.start(tmp_path) as station:
        open_to_others = [
            str(path)
            for path in (station.data, *station.data.rglob("*"))
            if not path.is_symlink() and path.lstat().st_mode & 0o077
        ]
    os.umask(0o022)

    assert open_to_others == []
