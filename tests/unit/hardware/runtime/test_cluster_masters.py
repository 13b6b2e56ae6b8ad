"""Two masters of one cluster: at least one of them stands down, whatever each knows of the other's time."""

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.runtime.cluster.surroundings import Surroundings, must_stand_down
from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.discovery import Neighbour, Neighbourhood
from loadmgmt.cluster.failures import LinkFailed, Reason
from loadmgmt.cluster.registration import MasterInfo

# What one knows of the other's time is the whole seconds of up to 2 s ago.
LATE_S = st.floats(0.0, 2.0)


def told(station: str, leading_s: float) -> MasterInfo:
    return MasterInfo(station=station, name="", leading_s=max(int(leading_s), 0))


@given(st.floats(0.0, 60.0), st.floats(0.0, 60.0), LATE_S, LATE_S)
def test_never_do_both_stay(first_s: float, second_s: float, late_s: float, other_late_s: float) -> None:
    first_leaves = must_stand_down(told("A", first_s), told("B", second_s - late_s))
    second_leaves = must_stand_down(told("B", second_s), told("A", first_s - other_late_s))

    assert first_leaves or second_leaves


def test_who_leads_for_longer_stays() -> None:
    old, young = told("B", 3_600), told("A", 60)

    assert not must_stand_down(old, young)
    assert must_stand_down(young, old)


def test_of_equals_the_smaller_serial_number_stays() -> None:
    assert not must_stand_down(told("A", 60), told("B", 61))
    assert must_stand_down(told("B", 61), told("A", 60))


def test_a_slave_that_finds_several_masters_tries_one_after_the_other() -> None:
    surroundings = Surroundings(ClusterSettings(enabled=True), points=1)
    announced = [
        Neighbour(station=name, name="", role="master", points=1, cluster="", target=Target(name, 6390), web="")
        for name in ("false", "true")
    ]
    surroundings._neighbourhood = cast("Neighbourhood", SimpleNamespace(masters=lambda _cluster: announced))

    tried = []
    for _ in range(3):
        tried.append(surroundings.master())
        surroundings.try_another()

    assert tried == [Target("false", 6390), Target("true", 6390), Target("false", 6390)]


async def test_announcements_that_are_never_answered_do_not_hide_the_true_master(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    surroundings = Surroundings(ClusterSettings(enabled=True, station="own", key="K"), points=1)
    announced = [
        Neighbour(station=name, name="", role="master", points=1, cluster="", target=Target(name, 6390), web="")
        for name in (*(f"false{number}" for number in range(10)), "true")
    ]
    surroundings._neighbourhood = cast("Neighbourhood", SimpleNamespace(masters=lambda _cluster: announced))
    is_asked = asyncio.Event()

    async def ask(target: Target, _key: str) -> MasterInfo:
        if target.host == "true":
            is_asked.set()
            return told("true", 60)
        # As long as nobody has asked the true one.
        await is_asked.wait()
        raise LinkFailed(Reason.SILENT)

    monkeypatch.setattr("hardware.runtime.cluster.surroundings.ask_master", ask)

    async with asyncio.timeout(30.0):
        ((found, info),) = await surroundings.other_masters(asks_fixed_address=False)

    assert (found.station, info.leading_s) == ("true", 60)


@pytest.mark.parametrize(("own", "others"), [("own", ["true"]), ("true", [])])
async def test_a_master_at_the_fixed_address_counts_though_searching_does_not_find_it(
    monkeypatch: pytest.MonkeyPatch, own: str, others: list[str]
) -> None:
    # Behind a router nobody is found; somebody has given two stations the role and one address.
    settings = ClusterSettings(enabled=True, role="master", station=own, key="K", address="192.0.2.7:6390")
    surroundings = Surroundings(settings, points=1)
    asked = []

    async def ask(target: Target, _key: str) -> MasterInfo:
        asked.append(target)
        return told("true", 60)

    monkeypatch.setattr("hardware.runtime.cluster.surroundings.ask_master", ask)

    found = await surroundings.other_masters(asks_fixed_address=True)

    assert [(each.station, str(each.target)) for each, _info in found] == [(each, "192.0.2.7:6390") for each in others]
    assert asked == [Target("192.0.2.7", 6390)]
    assert await surroundings.other_masters(asks_fixed_address=False) == []


def test_who_is_set_to_lead_this_cluster_and_does_not_was_refused() -> None:
    surroundings = Surroundings(ClusterSettings(enabled=True, station="own"), points=1)
    surroundings._cluster = "c"
    leading = Target("192.0.2.7", 6390)

    def found(station: str, role: str, cluster: str, target: Target | None) -> Neighbour:
        return Neighbour(station=station, name="", role=role, points=1, cluster=cluster, target=target, web="")

    announced = [
        found("own", "master", "c", None),
        found("slave", "slave", "c", None),
        found("leading", "master", "c", leading),
        found("elsewhere", "master", "d", None),
    ]
    surroundings._neighbourhood = cast("Neighbourhood", SimpleNamespace(stations=lambda: announced))
    assert surroundings.claimant() is None

    announced.append(found("refused", "master", "c", None))

    claimant = surroundings.claimant()
    assert claimant is not None
    assert claimant.station == "refused"
    assert surroundings.is_slave("slave")
    assert not surroundings.is_slave("refused")
