"""What stations announce in their network, and what strangers might."""

import asyncio
import os
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import ServiceStateChange

from loadmgmt.cluster import discovery
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.discovery import MASTER, SLAVE, Announcement, Neighbour, Neighbourhood, read

CLUSTER = "0123456789abcdef"
LEADS = Announcement(
    station="WB-0001", name="Tiefgarage 1", role=MASTER, points=2, cluster=CLUSTER, port=6390, web="https/443"
)
ASKS = Announcement(station="WB-0002", name="Tiefgarage 2", role=SLAVE, points=1, cluster=CLUSTER)
# Generous for a busy machine; on an idle one a second.
SOON_S = 30.0


def test_what_is_announced_is_read_the_same() -> None:
    found = read(LEADS.properties(), ["192.168.1.5", "10.0.0.5"], 6390)

    assert (found.station, found.name, found.role, found.points) == ("WB-0001", "Tiefgarage 1", MASTER, 2)
    assert found.target == Target("192.168.1.5", 6390)
    assert found.web == "https://192.168.1.5:443/"
    assert read(ASKS.properties(), ["fd00::5"], 0).target is None


@pytest.mark.parametrize(
    "change",
    [{"v": "2"}, {"id": "a b"}, {"id": ""}, {"role": "boss"}, {"points": "3"}, {"points": "²"}, {"points": None}],
)
def test_what_makes_no_sense_is_no_station(change: dict[str, str | None]) -> None:
    assert read(LEADS.properties() | change, ["192.168.1.5"], 6390) is None
    assert read(LEADS.properties(), [], 6390) is None


@pytest.mark.parametrize(
    "web", ["https/99999", "javascript/443", "https://evil.example/", "https/443/@evil", "https/0"]
)
def test_nobody_puts_a_link_to_elsewhere_on_our_pages(web: str) -> None:
    assert read(LEADS.properties() | {"web": web}, ["192.168.1.5"], 6390).web == ""


def test_a_name_or_cluster_that_makes_no_sense_is_left_out() -> None:
    found = read(LEADS.properties() | {"name": "a\x1b[2J", "cluster": "*"}, ["192.168.1.5"], 70_000)

    assert (found.name, found.cluster, found.target) == ("", "", None)


@given(st.dictionaries(st.sampled_from(sorted(LEADS.properties())), st.none() | st.text()), st.integers())
def test_whatever_is_announced_is_read_or_left(properties: dict[str, str | None], port: int) -> None:
    read(LEADS.properties() | properties, ["192.168.1.5"], port)


def test_the_longest_name_fits_into_a_text_record() -> None:
    announced = Announcement(station="A" * 50, name="𝄞" * 64, role=MASTER, points=2).properties()

    assert all(len(f"{key}={value}".encode()) <= 255 for key, value in announced.items())


async def test_stations_find_one_another_and_notice_who_leaves(settings: Any) -> None:
    settings.SIMULATE = True
    # Whoever else runs tests on this computer is in the same network.
    leads, asks = (replace(own, station=f"T-{os.getpid()}-{own.station}") for own in (LEADS, ASKS))
    first, second = Neighbourhood(leads), Neighbourhood(asks)
    await first.start()
    await second.start()
    try:
        assert (first.problem, second.problem) == ("", "")
        await until(second, lambda: station(second, leads) is not None)
        await until(first, lambda: station(first, asks) is not None)
        assert station(second, leads) in second.masters(CLUSTER)
        assert second.masters("f" * 16) == ()
        assert station(second, leads).target == Target("127.0.0.1", 6390)
        assert station(first, leads) is None

        await first.stop()
        await until(second, lambda: station(second, leads) is None)
    finally:
        await first.stop()
        await second.stop()


async def test_who_was_forgotten_while_the_cable_was_out_is_found_again(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SIMULATE = True
    monkeypatch.setattr("loadmgmt.cluster.discovery.LOOK_S", 1.0)
    leads, asks = (replace(own, station=f"C-{os.getpid()}-{own.station}") for own in (LEADS, ASKS))
    first, second = Neighbourhood(leads), Neighbourhood(asks)
    await first.start()
    await second.start()
    try:
        await until(second, lambda: station(second, leads) is not None)

        # The library asks for some seconds after it began, and never again.
        browser: Any = second._browser
        browser.query_scheduler.stop()
        forget(second, leads)
        assert station(second, leads) is None

        await until(second, lambda: station(second, leads) is not None)
    finally:
        await first.stop()
        await second.stop()


def forget(neighbourhood: Neighbourhood, vanished: Announcement) -> None:
    zeroconf: Any = zeroconf_of(neighbourhood)
    name = f"{vanished.station}.{discovery.SERVICE}"
    cache = zeroconf.cache
    told = [each for each in cache.entries_with_name(discovery.SERVICE) if each.alias == name]
    cache.async_remove_records([*told, *cache.entries_with_name(name)])
    neighbourhood._on_change(zeroconf, discovery.SERVICE, name, ServiceStateChange.Removed)


def zeroconf_of(neighbourhood: Neighbourhood) -> Any:
    return neighbourhood._zeroconf.zeroconf if neighbourhood._zeroconf is not None else None


def station(neighbourhood: Neighbourhood, wanted: Announcement) -> Neighbour | None:
    return next((found for found in neighbourhood.stations() if found.station == wanted.station), None)


async def until(neighbourhood: Neighbourhood, is_so: Any) -> None:
    async with asyncio.timeout(SOON_S):
        while not is_so():
            neighbourhood.changed.clear()
            await neighbourhood.changed.wait()


async def test_without_an_address_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATION_LAN_INTERFACES", "nothere0")
    alone = Neighbourhood(LEADS)
    await alone.start()

    assert alone.problem
    assert alone.stations() == ()
    await alone.stop()


@pytest.mark.parametrize(
    ("https", "origins", "pages"),
    [
        (False, "127.0.0.1:8080", "http/8080"),
        (True, "0.0.0.0:80,0.0.0.0:443", "https/443"),
        (True, "", "https/443"),
        (False, "", "http/80"),
    ],
)
def test_how_the_pages_are_reached_is_announced(
    origins: str, pages: str, settings: Any, monkeypatch: pytest.MonkeyPatch, *, https: bool
) -> None:
    settings.SERVES_HTTPS = https
    monkeypatch.setenv("STATION_HTTP_ORIGINS", origins)

    assert discovery.own_pages() == pages


class Asked:
    """An announcement that is read at the second question only."""

    at_once = 0
    most_at_once = 0
    asked: ClassVar[set[str]] = set()

    def __init__(self, _service: str, name: str) -> None:
        self._name = name
        self.port = 6390
        self.decoded_properties = {**LEADS.properties(), "id": name}

    async def async_request(self, _zeroconf: object, _timeout_ms: int) -> bool:
        Asked.at_once += 1
        Asked.most_at_once = max(Asked.most_at_once, Asked.at_once)
        await asyncio.sleep(0)
        Asked.at_once -= 1
        is_second = self._name in Asked.asked
        Asked.asked.add(self._name)
        return is_second

    def parsed_addresses(self) -> list[str]:
        return ["192.0.2.1"]


async def test_of_many_that_come_at_once_everyone_is_found_also_who_did_not_answer_the_first_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loadmgmt.cluster.discovery.AsyncServiceInfo", Asked)
    monkeypatch.setattr("loadmgmt.cluster.discovery.LOOK_S", 0.01)
    found = Neighbourhood(ASKS)
    monkeypatch.setattr(found, "_follow", lambda: asyncio.sleep(0))
    await found.start()
    zeroconf: Any = SimpleNamespace(zeroconf=None)
    found._zeroconf = zeroconf

    for number in range(100):
        found._on_change(zeroconf, "", f"S{number}", ServiceStateChange.Added)
    await until(found, lambda: len(found.stations()) == 100)

    assert 1 < Asked.most_at_once <= 20
    await found._tasks.close()


class AnsweredByHand:
    """A question that is answered when a test says so; `asked` has one entry for each."""

    asked: ClassVar[list[asyncio.Future[bool]]] = []

    def __init__(self, _service: str, _name: str) -> None:
        self.port = 6390
        self.decoded_properties = LEADS.properties()

    async def async_request(self, _zeroconf: object, _timeout_ms: int) -> bool:
        answer = asyncio.get_running_loop().create_future()
        self.asked.append(answer)
        return await answer

    def parsed_addresses(self) -> list[str]:
        return ["192.0.2.1"]


class Connection:
    """A connection to the network that can be closed."""

    zeroconf = None

    async def async_unregister_all_services(self) -> None:
        pass

    async def async_close(self) -> None:
        pass


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> Neighbourhood:
    """Return one that has a connection to the network."""
    monkeypatch.setattr("loadmgmt.cluster.discovery.AsyncServiceInfo", AnsweredByHand)
    monkeypatch.setattr(AnsweredByHand, "asked", [])
    neighbourhood = Neighbourhood(ASKS)
    connection: Any = Connection()
    neighbourhood._zeroconf = connection
    return neighbourhood


def hear(neighbourhood: Neighbourhood, change: ServiceStateChange) -> None:
    neighbourhood._on_change(zeroconf_of(neighbourhood), "", "S1", change)


async def turn() -> None:
    """Let every task go on as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("is_answered", [False, True])
async def test_who_says_good_bye_while_the_question_is_answered_is_gone(
    asking: Neighbourhood, *, is_answered: bool
) -> None:
    hear(asking, ServiceStateChange.Added)
    await turn()

    AnsweredByHand.asked[0].set_result(is_answered)
    hear(asking, ServiceStateChange.Removed)
    await turn()

    assert asking.stations() == ()
    # Nor is it asked again with the next look.
    assert not asking._unanswered

    hear(asking, ServiceStateChange.Added)
    await turn()
    AnsweredByHand.asked[1].set_result(True)
    await turn()
    assert station(asking, LEADS) is not None


async def test_who_says_good_bye_and_comes_back_while_it_is_asked_is_asked_anew(asking: Neighbourhood) -> None:
    for change in (ServiceStateChange.Added, ServiceStateChange.Removed, ServiceStateChange.Added):
        hear(asking, change)
        await turn()

    AnsweredByHand.asked[0].set_result(True)
    await turn()
    assert asking.stations() == ()

    AnsweredByHand.asked[1].set_result(True)
    await turn()
    assert station(asking, LEADS) is not None


async def test_an_answer_through_a_connection_that_is_closed_does_not_count(asking: Neighbourhood) -> None:
    hear(asking, ServiceStateChange.Added)
    await turn()

    AnsweredByHand.asked[0].set_result(True)
    await asking._close()
    await turn()

    assert asking.stations() == ()
