"""A master from its begin to its end: it leaves no server behind, and nobody fills its log."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hardware.runtime.cluster.leader_loop import LeaderLoop, rest_s
from hardware.runtime.cluster.leading import Leading
from hardware.runtime.cluster.place import Epoch
from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster import members
from loadmgmt.cluster.registration import Station
from station.domain.cluster.timing import DECIDE_S
from station.domain.units import MilliAmpere
from station.paths import DataDirectory


class Server:
    """Runs from `start` to `stop`."""

    problem = None

    def __init__(self, *_: object, **__: object) -> None:
        self.is_running = False
        self.members: dict[str, str] = {}
        servers.append(self)

    async def start(self) -> None:
        self.is_running = True

    async def stop(self) -> None:
        self.is_running = False


servers: list[Server] = []


EPOCH = Epoch(name="e", predecessor=None)


class Records:
    """A database without members."""

    async def execute(self, verb: Callable[..., object]) -> object:
        return () if verb is members.known else {} if verb is members.password_hashes else EPOCH


class Demands:
    numbers = (1,)


class Surroundings:
    """Takes long to announce a master, or cannot take it back."""

    def __init__(self, *, fails: bool) -> None:
        self.is_announcing = asyncio.Event()
        self._fails = fails

    async def announce(self, *, leads: bool) -> None:
        if leads:
            self.is_announcing.set()
            await asyncio.Event().wait()
        if self._fails:
            raise OSError("the network is gone")


@pytest.mark.parametrize("fails", [False, True])
def test_who_is_stopped_while_the_search_begins_leaves_no_server(
    *, fails: bool, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    servers.clear()
    settings.DATA = DataDirectory(tmp_path)
    monkeypatch.setattr("hardware.runtime.cluster.leader_loop.ClusterServer", Server)
    others: dict[str, Any] = dict.fromkeys(("shares", "limits", "snapshots", "grid_operator"))
    loop = LeaderLoop(
        ClusterSettings(enabled=True, role="master", key="K"),
        Records(),  # type: ignore[arg-type]
        demands=Demands(),  # type: ignore[arg-type]
        **others,
    )

    async def stop_in_between() -> None:
        surroundings = Surroundings(fails=fails)
        leading = asyncio.create_task(loop._lead(surroundings))  # type: ignore[arg-type]
        await surroundings.is_announcing.wait()
        assert servers[0].is_running
        leading.cancel()
        await asyncio.wait({leading})

    asyncio.run(stop_in_between())

    assert not servers[0].is_running


def test_a_station_whose_reports_make_no_sense_stands_in_the_log_once(caplog: pytest.LogCaptureFixture) -> None:
    own, other = (
        Station(station=name, name="", points=(1,), rating=MilliAmpere(32_000), fallback=MilliAmpere(6_000))
        for name in ("S1", "S2")
    )
    leading = Leading(own, [other], epoch="e", predecessor=None, began_s=0.0)

    with caplog.at_level(logging.WARNING):
        for number in range(50):
            leading.hear({"S2": b"garbage %d" % number}, float(number))

    assert leading.malformed == 50
    assert len(caplog.records) == 1


def test_decisions_of_a_large_cluster_leave_three_quarters_of_the_time_to_the_charging_points() -> None:
    assert rest_s(0.1) / (0.1 + rest_s(0.1)) == pytest.approx(0.75)
    assert rest_s(5.0) == DECIDE_S
