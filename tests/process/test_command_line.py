"""Commands whose output somebody else stops reading, like `doctor | head -1`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.station import MANAGE

pytestmark = pytest.mark.process
NOBODY_READS = 141


def run(data: Path, *words: str, buffering: str = "", **streams: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `buffering` "1": what is written leaves the process at once, "": when there is much."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "station.settings",
        "STATION_DATA_DIR": str(data),
        "PYTHONUNBUFFERED": buffering,
    }
    command = [sys.executable, str(MANAGE), *words]
    return subprocess.run(command, env=environment, text=True, timeout=60, check=False, **streams)


@pytest.fixture
def unread() -> Iterator[int]:
    """Return the end of a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("buffering", ["1", ""], ids=["at once", "at the end"])
@pytest.mark.parametrize("words", [["stationctl"], ["doctor"], ["config", "list"]])
def test_a_reader_that_has_gone_is_no_error(tmp_path: Path, unread: int, words: list[str], buffering: str) -> None:
    done = run(tmp_path / "data", *words, buffering=buffering, stdout=unread, stderr=subprocess.PIPE)

    assert done.stderr == ""
    # What the doctor has found before it could say so stays true.
    found_a_problem = words == ["doctor"] and not buffering and done.returncode == 1
    assert done.returncode == NOBODY_READS or found_a_problem


def test_nor_is_one_that_took_errors_too(tmp_path: Path, unread: int) -> None:
    done = run(tmp_path / "data", "config", "list", stdout=unread, stderr=unread)

    assert done.returncode == NOBODY_READS


def test_a_refusal_is_told_although_nobody_reads_the_rest(tmp_path: Path, unread: int) -> None:
    done = run(tmp_path / "data", "stationctl", "destroy", stdout=unread, stderr=subprocess.PIPE)

    assert "destroy" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.returncode == 2


def test_a_command_without_outputs_does_its_work(tmp_path: Path) -> None:
    command = f'exec "$0" "$1" config set HeartbeatInterval=61 --data-dir {tmp_path / "data"} <&- >&- 2>&-'
    subprocess.run(["/bin/sh", "-c", command, sys.executable, MANAGE], timeout=60, check=True)

    asked = run(tmp_path / "data", "config", "get", "HeartbeatInterval", stdout=subprocess.PIPE)
    assert asked.stdout == "HeartbeatInterval=61\n"
