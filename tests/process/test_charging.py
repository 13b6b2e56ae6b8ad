"""A whole station charges: by card, by remote start, without its backend, and while its processes die one by one.

Cuts of everything at once are in test_power_cuts.py.
"""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backend import Backend, Silence, ThreadedBackend
from tests.process.judgement import (
    complaints_about_books,
    complaints_about_energy,
    free_ports,
    stored_sessions,
    tracebacks,
    wait_until_delivered,
)
from tests.station import WITHOUT_SAFE_MODE, Station, wait_until

pytestmark = pytest.mark.process

CARD = "04A2B3C4"
CONFIG = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "1",
    "LocalAuthorizeOffline": "true",
    "AllowOfflineTxForUnknownId": "true",
}
SPEED = 60
PROCESSES = ("web", "ocpp", "redis", "worker", "hardware")
SEED = 7
KILLS = 12


class Site:
    """A station at its backend."""

    def __init__(self, station: Station, backend: ThreadedBackend) -> None:
        self.station = station
        self.backend = backend

    def act(self, path: str, **body: Any) -> None:
        self.station.sim(path, body)

    def plug(self, connector: int = 1, **car: Any) -> None:
        self.act(f"/connectors/{connector}/plug", **car)
        self.station.wait_sim(lambda point: point["cp_state"] != "A", number=connector)

    def charges(self, connector: int = 1) -> bool:
        return bool(self.station.connector(connector)["power_w"] > 0)

    def status(self, connector: int, status: str, *, after: int = 0) -> None:
        self.backend.wait_for(
            "StatusNotification",
            where=lambda sent: (sent["connectorId"], sent["status"]) == (connector, status),
            after=after,
            timeout=20,
        )

    def leave(self, connector: int = 1) -> None:
        self.act(f"/connectors/{connector}/unplug")
        self.station.wait_sim(lambda point: not point["plugged"], number=connector, timeout_s=20)

    def problems(self) -> list[str]:
        """Deliver everything, then compare books, database and meters."""
        wait_until_delivered(self.station, self.backend)
        found = complaints_about_books(self.station, self.backend)
        for point in self.station.sim("/state")["connectors"]:
            found += complaints_about_energy(self.backend.books, point["id"], first_wh=0, last_wh=point["energy_wh"])
        return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    backend_port, http_port, sim_port = free_ports(3)
    with (
        Backend.threaded(port=backend_port) as backend,
        Station.start(
            tmp_path_factory.mktemp("charging"),
            config=CONFIG,
            backend_url=backend.url,
            http_port=http_port,
            sim_port=sim_port,
            environment=WITHOUT_SAFE_MODE,
        ) as station,
    ):
        site = Site(station, backend)
        site.status(2, "Available")
        site.act("/speed", factor=SPEED)
        yield site


@pytest.fixture
def site(shared: Site) -> Iterator[Site]:
    shared.act("/reset")
    shared.act("/network", backend=True)
    shared.backend.wait_connected(timeout=20)
    for number in (1, 2):
        wait_until(lambda number=number: _phase(shared, number) == "available", timeout_s=20)
    yield shared
    assert shared.problems() == []


def _phase(site: Site, connector: int) -> str | None:
    import sqlite3
    from contextlib import closing

    place = f"file:{site.station.data / 'station.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(place, uri=True, timeout=10)) as database:
        row = database.execute("SELECT phase FROM station_connector WHERE number = ?", (connector,)).fetchone()
    return row[0] if row else None


def test_a_session_by_card(site: Site) -> None:
    mark = site.backend.mark()
    site.plug()
    site.act("/reader/swipe", uid=CARD)
    site.status(1, "Charging", after=mark)
    wait_until(lambda: site.station.connector(1)["energy_wh"] > 50, timeout_s=20)
    site.act("/reader/swipe", uid=CARD)
    stop = site.backend.wait_for("StopTransaction", after=mark)
    site.leave()
    site.status(1, "Available", after=mark)

    actions = [frame.action for frame in site.backend.received(after=mark)]
    assert actions.index("Authorize") < actions.index("StartTransaction") < actions.index("StopTransaction")
    assert actions.count("Authorize") == 1
    assert stop.payload["reason"] == "Local"
    assert stop.payload["meterStop"] == pytest.approx(site.station.connector(1)["energy_wh"], abs=1)


def test_a_session_by_remote_start_and_remote_stop(site: Site) -> None:
    mark = site.backend.mark()
    site.plug(2)
    assert site.backend.call("RemoteStartTransaction", {"idTag": "REMOTE", "connectorId": 2})["status"] == "Accepted"
    site.status(2, "Charging", after=mark)
    number = site.backend.books.open_transactions()[0].transaction_id
    assert site.backend.call("RemoteStopTransaction", {"transactionId": number})["status"] == "Accepted"
    stop = site.backend.wait_for("StopTransaction", after=mark)

    assert stop.payload["reason"] == "Remote"
    assert stop.payload["transactionId"] == number


def test_a_session_that_begins_and_ends_without_the_backend(site: Site) -> None:
    mark = site.backend.mark()
    site.act("/network", backend=False)
    wait_until(lambda: not site.backend.backend.connections[-1].is_open, timeout_s=20, what="the end of the connection")
    site.plug()
    site.act("/reader/swipe", uid="OFFLINE")
    wait_until(site.charges, timeout_s=20)
    time.sleep(2.5)  # three samples; the sampling itself is what takes the time
    site.leave()
    assert site.backend.received("StartTransaction", after=mark) == []

    site.act("/network", backend=True)
    site.backend.wait_for("StopTransaction", after=mark, timeout=20)

    sent = [
        frame.action
        for frame in site.backend.received(after=mark)
        if frame.action in {"StartTransaction", "MeterValues", "StopTransaction"}
    ]
    assert sent[0] == "StartTransaction"
    assert sent[-1] == "StopTransaction"
    assert sent.count("MeterValues") >= 2


def test_a_session_whose_start_is_never_answered_charges_all_the_same(site: Site) -> None:
    mark = site.backend.mark()
    site.backend.script_next("StartTransaction", Silence(booked=True))
    site.plug()
    site.act("/reader/swipe", uid=CARD)
    wait_until(site.charges, timeout_s=20)
    site.backend.drop()
    site.backend.wait_for("StartTransaction", after=site.backend.mark(), timeout=20)
    site.leave()
    site.backend.wait_for("StopTransaction", after=mark, timeout=20)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_session_survives_the_death_of_one_process(site: Site, name: str) -> None:
    site.plug()
    site.act("/reader/swipe", uid=CARD)
    wait_until(site.charges, timeout_s=20)
    # A control loop that begins takes a card that is still held to the reader for another tap.
    wait_until(lambda: site.station.sim("/state")["reader"]["field"] is None, what="a card that has left the reader")
    before = len(stored_sessions(site.station))
    old = site.station.kill(name)
    deadline_s = time.monotonic() + 3.0
    interrupted = False
    while time.monotonic() < deadline_s:
        interrupted |= not site.charges()
        time.sleep(0.05)
    wait_until(lambda: site.station.child_pids().get(name) not in {None, old}, timeout_s=20)
    wait_until(site.station.healthy, timeout_s=20)
    site.backend.wait_connected(timeout=20)

    assert not interrupted
    assert len(stored_sessions(site.station)) == before
    mark = site.backend.mark()
    site.act("/reader/swipe", uid=CARD)
    stop = site.backend.wait_for("StopTransaction", after=mark, timeout=20)
    assert stop.payload["reason"] == "Local"


def test_killed_in_any_order_at_any_moment_the_processes_lose_nothing(site: Site) -> None:
    dice = random.Random(SEED)
    steps: list[Callable[[], None]] = [
        lambda: site.plug(1),
        lambda: site.act("/reader/swipe", uid=CARD),
        lambda: site.plug(2),
        lambda: site.act("/reader/swipe", uid="04FFEE11"),
        lambda: site.act("/connectors/1/vehicle", ready=False),
        lambda: site.act("/connectors/1/vehicle", ready=True),
        lambda: site.act("/reader/swipe", uid=CARD),
        lambda: site.leave(1),
        lambda: site.plug(1),
        lambda: site.act("/reader/swipe", uid=CARD),
        lambda: site.act("/connectors/2/button"),
        lambda: site.leave(2),
    ]
    assert len(steps) == KILLS
    for step in steps:
        step()
        time.sleep(dice.uniform(0, 0.6))  # the moment is what is drawn here
        name = dice.choice(PROCESSES)
        old = site.station.kill(name)
        wait_until(lambda name=name, old=old: site.station.child_pids().get(name) not in {None, old}, timeout_s=20)
        wait_until(site.station.healthy, timeout_s=30, what=f"health after the death of {name}")
    for number in (1, 2):
        site.leave(number)
    wait_until(lambda: all(each.meter_stop_wh is not None for each in stored_sessions(site.station)), timeout_s=20)


def test_nothing_has_crashed(shared: Site) -> None:
    assert list(tracebacks(shared.station.data)) == []


def test_a_station_without_a_backend_charges_whoever_is_listed(tmp_path: Path) -> None:
    http_port, sim_port = free_ports(2)
    config = {"/auth/identification": "any"}
    with Station.start(tmp_path, config=config, http_port=http_port, sim_port=sim_port) as station:
        station.sim("/connectors/1/plug", {})
        station.wait_sim(lambda point: point["cp_state"] != "A")
        station.sim("/reader/swipe", {"uid": CARD})
        station.wait_sim(lambda point: point["power_w"] > 0, timeout_s=20)
        station.sim("/connectors/1/unplug", {"side": "vehicle"})
        wait_until(lambda: [s.meter_stop_wh for s in stored_sessions(station)] not in ([], [None]), timeout_s=20)
