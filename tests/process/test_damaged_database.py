"""A database file that a failing disk has damaged: moved aside with an alarm, and the station starts."""

import random
from pathlib import Path

import pytest

from tests.station import Station, http

pytestmark = pytest.mark.process

PAGE_BYTES = 4096


def make_no_database(file: Path) -> None:
    file.write_bytes(random.Random(1).randbytes(file.stat().st_size))


def tear_pages(file: Path) -> None:
    """Zero every page but the first two, as a disk does that has lost its writes."""
    with file.open("r+b") as database:
        for place in range(2 * PAGE_BYTES, file.stat().st_size, PAGE_BYTES):
            database.seek(place)
            database.write(bytes(PAGE_BYTES))
    # What the log still holds would mend them.
    file.with_name(file.name + "-wal").write_bytes(b"x")


@pytest.mark.parametrize("damage", [make_no_database, tear_pages])
def test_a_damaged_database_is_kept_aside_and_the_station_starts(tmp_path, damage) -> None:
    with Station.start(tmp_path) as station:
        station.stop()
        file = station.data / "station.sqlite3"
        damage(file)
        content = file.read_bytes()

        station.launch()

        (kept,) = station.data.glob("station.sqlite3.broken-?")
        assert kept.read_bytes() == content
        status, answer = http("GET", station.http_port, "/healthz")
        assert status == 200
        detail = next(one for one in answer["details"] if one["code"] == "database_set_aside")
        assert detail["files"] == [kept.name]
        assert "the database was damaged" in station.console()

        # Once is enough: the new one is used from then on.
        station.kill_group()
        station.launch()
        assert list(station.data.glob("station.sqlite3.broken-?")) == [kept]
