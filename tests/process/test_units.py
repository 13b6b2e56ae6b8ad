"""The processes live under what the units of `deploy/` allow: each is started with its own filter."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from station.paths import DataDirectory
from tests.station import MANAGE, free_port, http, wait_until
from tests.units import Unit, missing_for_a_sandbox, start

LACKING = missing_for_a_sandbox()
pytestmark = [pytest.mark.process, pytest.mark.skipif(bool(LACKING), reason=f"not started as units: {LACKING}")]
START_TIMEOUT_S = 60.0


class Units:
    """A station started as its units would start it, with simulated devices beside them."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.ports = {"0.0.0.0:80": f"127.0.0.1:{free_port()}", "0.0.0.0:443": f"127.0.0.1:{free_port()}"}
        self.sim_port = free_port()
        self.http_port = int(self.ports["0.0.0.0:80"].rpartition(":")[2])
        self.environment = {**os.environ, "STATION_DATA_DIR": str(data), "STATION_HTTPS": "1"}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def command(self, unit: Unit) -> list[str]:
        _, _manage, *words = unit.one("ExecStart").split()
        return [sys.executable, str(MANAGE), *(self.ports.get(word, word) for word in words)]

    def beside(self, name: str) -> subprocess.Popen[bytes]:
        flags = ["--simulate", "--sim-control", f"127.0.0.1:{self.sim_port}"]
        return subprocess.Popen(
            [sys.executable, str(MANAGE), "runprocess", name, *flags],
            env=self.environment,
            stdout=subprocess.DEVNULL,
        )

    def launch(self) -> None:
        prepare = start(Unit.read("prepare"), self.command(Unit.read("prepare")), environment=self.environment)
        assert prepare.wait(START_TIMEOUT_S) == 0
        assert self.beside("prepare").wait(START_TIMEOUT_S) == 0
        self.running["simulator"] = self.beside("simulator")
        for name in ("redis", "hardware", "worker", "ocpp", "web"):
            unit = Unit.read(name)
            self.running[name] = start(unit, self.command(unit), environment=self.environment)

    def ready(self) -> bool:
        assert [name for name, process in self.running.items() if process.poll() is not None] == []
        with suppress(OSError):
            return http("GET", self.http_port, "/healthz")[0] == 200
        return False

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()


@pytest.fixture
def units(tmp_path: Path) -> Iterator[Units]:
    station = Units(tmp_path / "station")
    try:
        yield station
    finally:
        station.stop()


def mebibytes(text: str) -> float:
    """Read what the kernel (`1234 kB`) or a unit (`128M`) says."""
    return float(text.removesuffix("M")) if text.endswith("M") else int(text.split(maxsplit=1)[0]) / 1024


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_a_station_is_ready_and_serves_its_points_under_the_filters_of_its_units(units: Units) -> None:
    units.launch()
    # Ready means that every controller answers, so serial ports, Redis, database, pages and locks all work.
    wait_until(units.ready, timeout_s=START_TIMEOUT_S, what="a station that is ready to charge")

    for name in ("redis", "hardware", "worker", "ocpp", "web"):
        unit, status = Unit.read(name), status_of(units.running[name].pid)
        assert (status["Seccomp"], status["NoNewPrivs"], status["CapBnd"].strip("0")) == ("2", "1", ""), name
        # Twice what an idle station has: threads for requests and transfers come and go.
        assert 2 * int(status["Threads"]) <= int(unit.one("TasksMax")), name
        assert 1.5 * mebibytes(status["VmHWM"]) <= mebibytes(unit.one("MemoryMax")), name


CLUSTER = """
import asyncio, os, sys
from pathlib import Path
import django
django.setup()
from django.conf import settings
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.discovery import Announcement, Neighbourhood
from loadmgmt.cluster.leader_link import LeaderLink
from loadmgmt.cluster.member_link import ask_master
from loadmgmt.cluster.registration import MasterInfo
from loadmgmt.cluster.server import ClusterServer
async def main():
    target = Target("127.0.0.1", int(sys.argv[1]))
    server = ClusterServer(target, "a pairing code", settings.DATA)
    await server.start()
    link = LeaderLink(server)
    assert server.problem is None, (server.problem, server.problem_detail, list(server._last_words))
    await link.publish({}, b"", MasterInfo(station="WB-0001", name="", leading_s=1))
    master = await ask_master(target, "a pairing code")
    neighbourhood = Neighbourhood(Announcement(station=f"T-{os.getpid()}", name="", role="slave", points=1))
    await neighbourhood.start()
    Path(sys.argv[2]).write_text(f"{server.problem} {master.station} {neighbourhood.problem}".strip())
    await neighbourhood.stop()
    await link.close()
    await server.stop()
asyncio.run(main())
"""


def test_a_master_runs_its_server_and_is_found_under_the_filter_of_its_unit(data: DataDirectory) -> None:
    told = data.run / "told"
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "station.settings",
        "STATION_DATA_DIR": str(data.root),
        "STATION_SIMULATE": "1",
    }
    arguments = [sys.executable, "-c", CLUSTER, str(free_port()), str(told)]

    assert start(Unit.read("hardware"), arguments, environment=environment).wait(START_TIMEOUT_S) == 0
    assert told.read_text() == "None WB-0001"
