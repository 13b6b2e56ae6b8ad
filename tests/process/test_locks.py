"""Services of the init system and `runstation` on one data directory: whoever comes second is refused."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.station import MANAGE, Station, free_port, http, wait_until

pytestmark = pytest.mark.process


@contextmanager
def service(station: Station, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(MANAGE), "runprocess", *words, "--data-dir", str(station.data)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return http("GET", port, "/healthz")[0] > 0
    except OSError:
        return False


def says_running(station: Station) -> bool:
    done = station.manage("doctor", "--data-dir", str(station.data), "--json")
    return "running" in [finding["text"] for finding in json.loads(done.stdout)]


def test_runstation_and_restore_are_refused_beside_services_and_not_after_them(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    on_it = ("--data-dir", str(station.data))
    assert station.manage("runprocess", "prepare", *on_it).returncode == 0
    saved = tmp_path / "saved"
    assert station.manage("backup", str(saved), *on_it).returncode == 0
    port = free_port()
    with service(station, "web", "--http", f"127.0.0.1:{port}") as web:
        wait_until(lambda: answers(port), timeout_s=60)
        database = (station.data / "station.sqlite3").stat().st_ino
        # There is no Redis and no main process: the lock alone tells.
        assert not (station.data / "run" / "redis.sock").exists()

        main = station.manage("runstation", *station.flags())
        restored = station.manage("restore", str(saved), "--replace", *on_it)
        assert says_running(station)
        # Services do not exclude one another.
        assert station.manage("runprocess", "prepare", *on_it).returncode == 0

        assert (main.returncode, restored.returncode) == (1, 1)
        for done in (main, restored):
            assert "systemctl stop station.target" in done.stderr
            assert "Traceback" not in done.stderr
        assert (station.data / "station.sqlite3").stat().st_ino == database
        assert not list((station.data / "run").glob("*.pid"))
        assert web.poll() is None
        web.send_signal(signal.SIGKILL)
        web.wait()

    assert not says_running(station)
    done = station.manage("restore", str(saved), "--replace", *on_it)
    assert done.returncode == 0, done.stderr


def test_services_are_refused_beside_runstation_and_start_after_it(tmp_path: Path) -> None:
    with Station.start(tmp_path) as station:
        on_it = ("--data-dir", str(station.data))
        for name in ("prepare", "hardware", "redis"):
            refused = station.manage("runprocess", name, *on_it)
            assert (refused.returncode, "Stop it first" in refused.stderr) == (1, True), name
        assert station.healthy()

        # Killed, it has no time to say anything; its children end by themselves.
        station.kill("web", signal.SIGSTOP)
        assert station.process
        station.process.kill()
        station.process.wait()

        prepared = station.manage("runprocess", "prepare", *on_it)
        assert prepared.returncode == 0, prepared.stderr
