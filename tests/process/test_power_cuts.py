"""The power fails at any moment of a session; afterwards the backend's books and the meter agree to the watt-hour.

A cut is SIGKILL for the whole process group: what is left is what is on the disk. After it the simulated cars are gone,
so every session that had begun must be closed with the register the meter shows.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.backend import Backend, ThreadedBackend
from tests.process.judgement import (
    complaints_about_books,
    complaints_about_energy,
    free_ports,
    tracebacks,
    wait_until_delivered,
)
from tests.station import Station, wait_until

pytestmark = pytest.mark.process

SEED = int(os.environ.get("POWER_CUTS_SEED", "1"))
ROUNDS = int(os.environ.get("POWER_CUTS_ROUNDS", "1"))
CARD = "04A2B3C4"
CONFIG = {
    "/ocpp/reconnectMinS": "1",
    "/ocpp/reconnectMaxS": "1",
    "TransactionMessageRetryInterval": "1",
    "MeterValueSampleInterval": "1",
    "LocalAuthorizeOffline": "true",
    "AllowOfflineTxForUnknownId": "true",
}
SPEED = 240


class Site:
    """A station, its backend and the mains switch."""

    def __init__(self, station: Station, backend: ThreadedBackend, dice: random.Random) -> None:
        self.station = station
        self.backend = backend
        self.dice = dice
        self.cuts = 0

    def act(self, path: str, **body: Any) -> None:
        self.station.sim(path, body)

    def cut_within(self, seconds: float) -> None:
        """Cut the power at a moment nobody has chosen."""
        time.sleep(self.dice.uniform(0, seconds))
        self.station.kill_group()
        self.cuts += 1

    def begin(self, connector: int) -> None:
        self.act(f"/connectors/{connector}/plug")
        self.station.wait_sim(lambda point: point["cp_state"] != "A", number=connector)
        self.swipe(connector)

    def swipe(self, connector: int) -> None:
        """Hold the card of this connector's driver to the reader; a card that charges already would end its session."""
        self.act("/reader/swipe", uid=f"{CARD}{self.cuts:02d}{connector}")

    def charge(self, connector: int) -> None:
        self.act("/speed", factor=SPEED)
        self.begin(connector)
        self.station.wait_sim(lambda point: point["power_w"] > 0, number=connector)

    def go_offline(self) -> None:
        self.act("/network", backend=False)
        wait_until(lambda: not self.backend.backend.connections[-1].is_open, what="the end of the connection")

    def restart(self) -> None:
        mark = self.backend.mark()
        self.station.launch()
        self.backend.wait_for("BootNotification", after=mark, timeout=20)


def while_a_card_is_judged(site: Site, connector: int) -> None:
    site.begin(connector)
    site.cut_within(0.5)


def while_charging(site: Site, connector: int) -> None:
    site.charge(connector)
    site.cut_within(2.0)


def while_two_cars_charge(site: Site, connector: int) -> None:
    site.charge(connector)
    site.charge(3 - connector)
    site.cut_within(1.0)


def while_stopping_by_card(site: Site, connector: int) -> None:
    site.charge(connector)
    site.swipe(connector)
    site.cut_within(0.5)


def while_unplugging(site: Site, connector: int) -> None:
    site.charge(connector)
    site.act(f"/connectors/{connector}/unplug")
    site.cut_within(0.5)


def while_charging_offline(site: Site, connector: int) -> None:
    site.go_offline()
    site.charge(connector)
    site.cut_within(1.0)


def after_a_session_offline(site: Site, connector: int) -> None:
    site.go_offline()
    site.charge(connector)
    site.act(f"/connectors/{connector}/unplug")
    site.cut_within(1.0)


def while_the_queue_is_sent(site: Site, connector: int) -> None:
    site.go_offline()
    site.charge(connector)
    site.act(f"/connectors/{connector}/unplug")
    site.station.wait_sim(lambda point: not point["plugged"], number=connector)
    site.act("/network", backend=True)
    site.cut_within(1.0)


def while_starting_after_a_cut(site: Site, connector: int) -> None:
    site.charge(connector)
    site.cut_within(0.5)
    site.station.launch(ready=False)
    site.cut_within(3.0)


MOMENTS: list[Callable[[Site, int], None]] = [
    while_a_card_is_judged,
    while_charging,
    while_two_cars_charge,
    while_stopping_by_card,
    while_unplugging,
    while_charging_offline,
    after_a_session_offline,
    while_the_queue_is_sent,
    while_starting_after_a_cut,
]


def test_whenever_the_power_fails_every_session_is_booked_once_with_the_energy_of_the_meter(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    plan = [moment for _ in range(ROUNDS) for moment in dice.sample(MOMENTS, len(MOMENTS))]
    backend_port, http_port, sim_port = free_ports(3)
    with (
        Backend.threaded(port=backend_port) as backend,
        Station.start(
            tmp_path, config=CONFIG, backend_url=backend.url, http_port=http_port, sim_port=sim_port
        ) as station,
    ):
        site = Site(station, backend, dice)
        backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 2)
        for number, moment in enumerate(plan):
            moment(site, 1 + number % 2)
            site.restart()
            wait_until_delivered(station, backend)
            registers = {point["id"]: point["energy_wh"] for point in station.sim("/state")["connectors"]}
            problems = complaints_about_books(station, backend)
            for connector, register_wh in registers.items():
                problems += complaints_about_energy(backend.books, connector, first_wh=0, last_wh=register_wh)
            assert not problems, f"seed {SEED}, cut {number} {moment.__name__}:\n" + "\n".join(problems)
        # A card held to the reader just before a cut may not have begun anything; every other cut met a session.
        assert len(backend.books.transactions) >= site.cuts - 2 * ROUNDS
        assert not list(tracebacks(station.data))
