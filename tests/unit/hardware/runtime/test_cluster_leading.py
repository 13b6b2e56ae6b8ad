"""A master from its begin to its end: it leaves no server behind, and nobody fills its log."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hardware.runtime.cluster import place
from hardware.runtime.cluster.leader_loop import LeaderLoop, rest_s
from hardware.runtime.cluster.leading import Leading
from hardware.runtime.cluster.place import Epoch
from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster import members
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.discovery import Neighbour
from loadmgmt.cluster.registration import MasterInfo, Station
from station.domain.allocation import Budget
from station.domain.cluster.member import Member
from station.domain.cluster.messages import PointReport
from station.domain.cluster.timing import DECIDE_S
from station.domain.snapshot import ClusterFoundSnapshot
from station.domain.units import PAUSE, MilliAmpere
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

    async def execute(self, verb: Callable[..., object], *arguments: Any) -> object:
        if verb in {place.other_master, place.note_other_master}:
            return verb(*arguments)
        return () if verb is members.known else {} if verb is members.password_hashes else EPOCH

    async def attempt(self, *_: object, **__: object) -> None:
        """Take an event for the log."""


class Demands:
    numbers = (1,)


class Shares:
    """Notes whether the fallback is reserved."""

    def __init__(self) -> None:
        self.is_reserved: bool | None = None
        self.present: object = None

    def note_place(self, _now_s: float, *, is_reserved: bool) -> None:
        self.is_reserved = is_reserved


class Limits:
    def leases_changed(self) -> None:
        pass


class Snapshots:
    def station_changed(self) -> None:
        pass


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


def loop_of(shares: Shares) -> LeaderLoop:
    others: dict[str, Any] = {"limits": Limits(), "snapshots": Snapshots(), "grid_operator": None}
    return LeaderLoop(
        ClusterSettings(enabled=True, role="master", key="K"),
        Records(),  # type: ignore[arg-type]
        shares=shares,  # type: ignore[arg-type]
        demands=Demands(),  # type: ignore[arg-type]
        **others,
    )


class Second:
    """Another master, for as long as it leads."""

    problem = ""
    cluster = "c"

    def __init__(self) -> None:
        self.leads = True
        self.serves = False
        self.claims = False
        self.was_shown = asyncio.Event()
        self._other = Neighbour(
            station="S2", name="", role="master", points=1, cluster="", target=Target("192.0.2.2", 6390), web=""
        )

    async def other_masters(self, *, asks_fixed_address: bool) -> list[tuple[Neighbour, MasterInfo]]:
        assert asks_fixed_address
        await asyncio.sleep(0)
        return [(self._other, MasterInfo(station="S2", name="", leading_s=60))] if self.leads else []

    def claimant(self) -> Neighbour | None:
        return self._other if self.claims else None

    def is_slave(self, station: str) -> bool:
        return self.serves and station == "S2"

    def shown(self, other: Neighbour) -> ClusterFoundSnapshot:
        return ClusterFoundSnapshot(id=other.station, name=other.name, role=other.role, points=1)

    def found(self) -> tuple[ClusterFoundSnapshot, ...]:
        self.was_shown.set()
        return ()


OWN = Station(station="S1", name="", points=(1,), rating=MilliAmpere(32_000), fallback=MilliAmpere(6_000))


class Link:
    """Tells the other stations what was decided; a board of the own station confirms something meanwhile."""

    def __init__(self) -> None:
        self.has_told = False

    async def registrations(self) -> dict[str, bytes]:
        return {}

    async def reports(self) -> dict[str, bytes]:
        return {}

    async def publish(self, *_: object) -> None:
        self.has_told = True

    async def wait_for_report(self, _timeout_s: float) -> bool:
        raise AssertionError("it waits, although there is news")


async def test_what_a_board_confirms_while_a_decision_is_told_is_decided_upon_at_once() -> None:
    link = Link()
    member = Member(station="S1", run="r", fallback=OWN.fallback, held={1: PAUSE}, now_s=0.0, jitter_s=0.0)
    settings = ClusterSettings(
        enabled=True, role="master", key="K", station="S1", limit=MilliAmpere(32_000), fallback=OWN.fallback
    )
    others: dict[str, Any] = {
        "shares": SimpleNamespace(settings=settings, member=lambda _now_s: member, present=None),
        "demands": SimpleNamespace(
            numbers=(1,),
            take=lambda _now_s: (PointReport(number=1, active=True, limit=MilliAmpere(16_000), held=PAUSE),),
            essence=lambda: link.has_told,
        ),
        "limits": Limits(),
        "snapshots": Snapshots(),
        "grid_operator": SimpleNamespace(budget_total=lambda _now_s: None),
    }
    anything: Any = SimpleNamespace(
        link_is_free=asyncio.Lock(),
        take=lambda _registrations: None,
        problem=None,
        found=tuple,
        refusal=None,
        malformed=0,
    )
    records: Any = Records()
    loop = LeaderLoop(settings, records, **others)
    leading = Leading(OWN, [], epoch="e", predecessor=None, began_s=0.0)

    await loop._step(leading, link, anything, anything, anything)  # type: ignore[arg-type]
    assert link.has_told
    loop._changed.clear()

    await loop._wait(link, anything, 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("fails", [False, True])
def test_who_is_stopped_while_the_search_begins_leaves_no_server(
    *, fails: bool, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    servers.clear()
    settings.DATA = DataDirectory(tmp_path)
    monkeypatch.setattr("hardware.runtime.cluster.leader_loop.ClusterServer", Server)
    loop = loop_of(Shares())

    async def stop_in_between() -> None:
        surroundings = Surroundings(fails=fails)
        leading = asyncio.create_task(loop._lead(surroundings))  # type: ignore[arg-type]
        await surroundings.is_announcing.wait()
        assert servers[0].is_running
        leading.cancel()
        await asyncio.wait({leading})

    asyncio.run(stop_in_between())

    assert not servers[0].is_running


async def test_while_another_one_leads_nothing_is_drawn_without_a_lease_because_nobody_reserves_it(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    # A master that comes back after another station has taken its place, and knows nothing of it.
    settings.DATA = DataDirectory(tmp_path)
    monkeypatch.setattr("hardware.runtime.cluster.leader_loop.LISTEN_S", 0.0)
    monkeypatch.setattr("hardware.runtime.cluster.leader_loop.ClusterServer", Server)
    shares = Shares()
    loop, surroundings = loop_of(shares), Second()
    waiting = asyncio.create_task(loop._until_alone(surroundings))  # type: ignore[arg-type]
    await surroundings.was_shown.wait()
    assert shares.is_reserved is False
    surroundings.leads, surroundings.serves = False, True
    await waiting

    leading = asyncio.create_task(loop._lead(Surroundings(fails=False)))  # type: ignore[arg-type]
    while shares.is_reserved is False:
        await asyncio.sleep(0)

    leading.cancel()
    await asyncio.wait({leading})


async def test_a_leading_master_names_the_one_that_was_refused_and_tells_the_log_once() -> None:
    loop, surroundings = loop_of(Shares()), Second()
    told: list[str] = []

    async def attempt(_verb: object, _code: str, *, name: str, **_: object) -> None:
        told.append(name)

    loop._records.attempt = attempt  # type: ignore[assignment]

    for is_there in (True, False, True):
        surroundings.claims = is_there
        await loop._note_claimant(surroundings)  # type: ignore[arg-type]
        assert (loop._second is not None) is is_there

    assert told == ["S2"]


async def test_who_was_refused_does_not_lead_because_the_other_one_is_not_heard_any_more(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.DATA = DataDirectory(tmp_path)
    monkeypatch.setattr("hardware.runtime.cluster.leader_loop.LISTEN_S", 0.0)
    surroundings = Second()

    async def is_refused() -> bool:
        surroundings.was_shown.clear()
        waiting = asyncio.create_task(loop_of(Shares())._until_alone(surroundings))  # type: ignore[arg-type]
        shown = asyncio.create_task(surroundings.was_shown.wait())
        await asyncio.wait({waiting, shown}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, shown):
            task.cancel()
        await asyncio.wait({waiting, shown})
        return surroundings.was_shown.is_set()

    assert await is_refused()
    # Its cable is cut, and its control loop begins anew.
    surroundings.leads = False
    assert await is_refused()
    # Another cluster is another matter.
    surroundings.cluster = "d"
    assert not await is_refused()
    surroundings.cluster = "c"
    assert await is_refused()

    surroundings.serves = True
    assert not await is_refused()
    surroundings.serves = False
    assert not await is_refused()


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


def test_a_station_that_reports_and_hears_nothing_is_lost_when_its_lease_is_over() -> None:
    own, other = (
        Station(station=name, name="", points=(1,), rating=MilliAmpere(32_000), fallback=MilliAmpere(6_000))
        for name in ("S1", "S2")
    )
    leading = Leading(own, [other], epoch="e", predecessor="before", began_s=0.0)
    members = {
        each.station: Member(
            station=each.station, run="r", fallback=each.fallback, held={1: PAUSE}, now_s=0.0, jitter_s=0.0
        )
        for each in (own, other)
    }

    def exchange(now_s: float, *, is_deaf: bool) -> frozenset[str]:
        point = PointReport(number=1, active=True, limit=MilliAmpere(16_000), held=PAUSE)
        leading.hear_own(members["S1"].report(now_s, [point]), now_s)
        leading.hear({"S2": members["S2"].report(now_s, [point]).encode()}, now_s)
        for station, grant in leading.decide(Budget.uniform(MilliAmpere(32_000)), now_s).items():
            if station == "S1" or not is_deaf:
                members[station].take(grant, now_s)
        return leading.lost(now_s)

    assert not frozenset().union(*(exchange(float(now_s), is_deaf=False) for now_s in range(20)))
    assert not frozenset().union(*(exchange(float(now_s), is_deaf=True) for now_s in range(20, 50)))

    for now_s in range(50, 65):
        lost = exchange(float(now_s), is_deaf=True)
    assert lost == {"S2"}

    for now_s in range(65, 70):
        lost = exchange(float(now_s), is_deaf=False)
    assert not lost


def test_decisions_of_a_large_cluster_leave_three_quarters_of_the_time_to_the_charging_points() -> None:
    assert rest_s(0.1) / (0.1 + rest_s(0.1)) == pytest.approx(0.75)
    assert rest_s(5.0) == DECIDE_S
