"""Free charging with real processes: a car that came while the disk was full, and what a restart makes of cars."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.conformance.bench import ConformanceBench, never
from tests.process.test_full_disk import NOTICED_S, UNWRITABLE, filled, health, small_disk
from tests.station import wait_until

__all__ = ["small_disk"]
pytestmark = pytest.mark.process

FREE = {"/auth/identification": "none"}


def started(bench: ConformanceBench) -> int:
    """Count the starts of the control loop."""
    with closing(sqlite3.connect(bench.station.data / "station.sqlite3")) as database:
        return int(
            database.execute("select count(*) from station_logentry where code = 'station.started'").fetchone()[0]
        )


def test_a_car_that_came_while_the_disk_was_full_begins_once_when_there_is_room_and_not_after_a_remote_stop(
    small_disk: Path,
) -> None:
    with ConformanceBench.open(small_disk, config=FREE) as bench:
        station = bench.station
        with filled(small_disk):
            wait_until(lambda: health(bench) == (503, UNWRITABLE), timeout_s=NOTICED_S, what="healthz")
            mark = bench.mark()
            bench.sim("/connectors/1/plug")
            # An idle board is looked at twice a second, and believed when it says the same twice.
            never(lambda: bench.received("StartTransaction", after=mark), for_s=3.0)
            station.kill("hardware")
            wait_until(lambda: health(bench) == (503, UNWRITABLE), timeout_s=NOTICED_S, what="healthz")
            assert not bench.received("StartTransaction", after=mark)

        first = bench.wait_for("StartTransaction", after=mark, connectorId=1, timeout=NOTICED_S)
        bench.physical(lambda point: point["contactor"])
        transaction = bench.transaction(1)
        assert bench.status_of("RemoteStopTransaction", transactionId=transaction) == "Accepted"
        bench.wait_for("StopTransaction", after=mark, transactionId=transaction)
        bench.wait_status("Finishing", after=mark)

        # The same car, known over a restart: its session has been ended.
        starts = started(bench)
        station.kill("hardware")
        wait_until(lambda: started(bench) > starts, timeout_s=NOTICED_S, what="a new control loop")
        never(lambda: len(bench.received("StartTransaction", after=mark)) > 1, for_s=3.0)
        assert bench.received("StartTransaction", after=mark) == [first]
        assert bench.told(1)["status"] == "Finishing"

        again = bench.mark()
        bench.sim("/connectors/1/unplug")
        bench.wait_status("Available", after=again)
        bench.sim("/connectors/1/plug")
        bench.wait_for("StartTransaction", after=again, connectorId=1)
