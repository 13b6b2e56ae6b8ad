"""The disk of the data directory is full: the station keeps what it has, answers what it can, and goes on by itself."""

import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.backend import BackendCallError
from tests.process.conformance.bench import CARD, ConformanceBench
from tests.process.judgement import owed
from tests.station import Station, http, wait_until

pytestmark = pytest.mark.process

SIZE = "size=32m"
# For a busy machine; the control loop asks for the room every ten seconds.
NOTICED_S = 60.0
UNWRITABLE = ["records_unwritable", "station_faulted"]
REPLACED = ("redis", "hardware", "worker", "web", "ocpp")
PROCESSES = (*REPLACED, "simulator")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of a few megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", SIZE, "tmpfs", place], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@contextmanager
def filled(place: Path, *, for_good: bool = True) -> Iterator[None]:
    """Leave not a single byte, and (`for_good`) take each one that is freed, until the end of the block."""
    filler, is_over = place / "filler", threading.Event()

    def fill() -> None:
        with filler.open("ab", buffering=0) as file:
            while not is_over.wait(0.002):
                for size in (1 << 20, 4096, 1):
                    with suppress(OSError):
                        while file.write(b"x" * size):
                            pass
                if not for_good:
                    return

    thread = threading.Thread(target=fill)
    thread.start()
    try:
        wait_until(lambda: not os.statvfs(place).f_bavail, what="a full disk")
        yield
    finally:
        is_over.set()
        thread.join()
        os.truncate(filler, 0)


def health(bench: ConformanceBench) -> tuple[int, list[str]]:
    """Read the status of /healthz and its reasons."""
    with suppress(OSError):
        status, answer = http("GET", bench.station.http_port, "/healthz")
        return status, [reason["code"] for reason in answer.get("reasons", [])]
    return 0, []


def are_replaced(station: Station, killed: Mapping[str, int]) -> bool:
    """Return whether for each of these processes another one lives."""
    living = station.child_pids()
    return all(living.get(name) not in {None, pid} for name, pid in killed.items())


def refused_for_the_disk(bench: ConformanceBench, action: str, **payload: Any) -> bool:
    with pytest.raises(BackendCallError, match="full"):
        bench.call(action, **payload)
    return True


def test_with_a_full_disk_every_process_comes_back_and_stays_until_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    entries = [{"idTag": CARD, "idTagInfo": {"status": "Accepted"}}]
    with ConformanceBench.open(small_disk, config={"LocalPreAuthorize": "true"}) as bench:
        station = bench.station
        bench.call("SendLocalList", listVersion=1, updateType="Full", localAuthorizationList=entries)
        running = bench.charge(2, "RUNNING")

        with filled(small_disk):
            # It says so, no session begins, and the one that runs gets no more energy: nobody could write it down.
            wait_until(lambda: health(bench) == (503, UNWRITABLE), timeout_s=NOTICED_S, what="healthz")
            wait_until(lambda: not station.connector(2)["contactor"], what="an open contactor")
            bench.sim("/connectors/1/plug")
            bench.swipe(CARD)
            assert bench.status_of("RemoteStartTransaction", idTag=CARD, connectorId=1) == "Rejected"
            assert not station.connector(1)["contactor"]
            # What needs no write is answered, what needs one is refused with the reason, and the connection stays.
            connects = bench.backend.connects
            assert bench.call("GetConfiguration", key=["HeartbeatInterval"])["configurationKey"][0]["value"] == "180"
            assert bench.status_of("TriggerMessage", requestedMessage="Heartbeat") == "Accepted"
            assert refused_for_the_disk(bench, "ChangeConfiguration", key="HeartbeatInterval", value="77")
            assert refused_for_the_disk(
                bench, "SendLocalList", listVersion=2, updateType="Full", localAuthorizationList=[]
            )
            assert http("GET", station.http_port, "/login")[0] == 200
            assert bench.backend.connects == connects

            # Each process that dies is replaced, although not even its pid finds room, and stays. One after the other:
            # as long as one of them has the database open, SQLite keeps the memory that all share in a file.
            mark = bench.mark()
            for name in REPLACED:
                moment = bench.mark()
                killed = {name: station.kill(name)}
                wait_until(partial(are_replaced, station, killed), what=f"a new {name}")
                if name == "ocpp":
                    bench.backend.wait_for("BootNotification", after=moment, timeout=NOTICED_S)
                wait_until(lambda: health(bench) == (503, UNWRITABLE), timeout_s=NOTICED_S, what="healthz")
            wait_until(lambda: set(station.child_pids()) == set(PROCESSES), timeout_s=NOTICED_S, what="all processes")
            wait_until(lambda: health(bench) == (503, UNWRITABLE), timeout_s=NOTICED_S, what="healthz")
            pids = station.child_pids()
            assert bench.call("GetLocalListVersion") == {"listVersion": 1}
            assert not station.connector(2)["contactor"]

        # Room again: it goes on by itself, and nothing is lost. What was interrupted twice has ended.
        station.wait_healthy(timeout_s=NOTICED_S)
        bench.configure(HeartbeatInterval=78)
        bench.wait_for("StopTransaction", after=mark, transactionId=running, timeout=NOTICED_S)
        bench.swipe(CARD)
        bench.wait_for("StartTransaction", after=mark, connectorId=1, timeout=NOTICED_S)
        wait_until(lambda: not owed(station), timeout_s=NOTICED_S, what="an empty outbox")
        assert station.child_pids() == pids
        # Each says it once in its life: the connection and the control loop have had two.
        assert station.console().count("the database cannot be written") <= 2
        # On a very busy machine the new control loop may have been replaced once more before it beat.
        assert station.console().count("no session begins until there is room") in {2, 3}
        assert "was not told" not in station.console()
        bench.judge()


def test_with_a_full_disk_a_station_that_lost_all_processes_at_once_says_so_and_comes_back_when_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    with ConformanceBench.open(small_disk) as bench:
        station = bench.station
        running = bench.charge(2, "RUNNING")
        mark = bench.mark()
        with filled(small_disk):
            wait_until(lambda: health(bench) == (503, UNWRITABLE), timeout_s=NOTICED_S, what="healthz")
            killed = {name: station.kill(name) for name in REPLACED}
            # The first of them may find no room for the memory that SQLite's processes share: it is tried again.
            wait_until(
                lambda: (
                    are_replaced(station, {"web": killed["web"]})
                    and health(bench)[0] == 503
                    and UNWRITABLE[0] in health(bench)[1]
                ),
                timeout_s=NOTICED_S,
                what="healthz",
            )
            # A control loop that cannot begin ends in safe mode, which needs no database.
            wait_until(lambda: not station.connector(2)["contactor"], timeout_s=NOTICED_S, what="an open contactor")

        station.wait_healthy(timeout_s=NOTICED_S)
        # It has ended, or goes on, as the board was found.
        bench.unplug(2)
        bench.wait_for("StopTransaction", after=mark, transactionId=running, timeout=NOTICED_S)
        bench.judge()


def test_a_station_starts_on_a_full_disk_and_tells_why_it_cannot_charge(tmp_path: Path, small_disk: Path) -> None:
    with ConformanceBench.open(small_disk) as bench:
        station = bench.station
        running = bench.charge(2, "RUNNING")
        station.kill_group()
        mark = bench.mark()
        # Not a byte is free, but the station may use again what it frees itself: SQLite makes its log anew.
        with filled(small_disk, for_good=False):
            station.launch(ready=False)

            bench.backend.wait_for("BootNotification", after=mark, timeout=NOTICED_S)
            wait_until(lambda: "records_unwritable" in health(bench)[1], timeout_s=NOTICED_S, what="healthz")
            assert bench.value("NumberOfConnectors") == "2"

        station.wait_healthy(timeout_s=NOTICED_S)
        bench.wait_for("StopTransaction", after=mark, transactionId=running, timeout=NOTICED_S)
        bench.judge()


def test_a_station_that_finds_no_room_at_all_says_so_and_comes_up_by_itself(tmp_path: Path, small_disk: Path) -> None:
    with ConformanceBench.open(small_disk) as bench:
        station = bench.station
        running = bench.charge(2, "RUNNING")
        mark = bench.mark()
        with filled(small_disk):
            station.kill_group()
            station.launch(ready=False)
            wait_until(lambda: health(bench) == (503, UNWRITABLE[:1]), timeout_s=NOTICED_S, what="healthz")
            assert "starts by itself when there is room" in station.console()

        station.wait_healthy(timeout_s=NOTICED_S)
        bench.wait_for("StopTransaction", after=mark, transactionId=running, timeout=NOTICED_S)
        assert "Traceback" not in station.console()
        bench.judge()
