"""A station that its master does not admit says so, and does not promise current that nobody has reserved."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hardware.runtime.cluster.member_loop import MemberLoop
from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.failures import LinkFailed, Reason
from station.domain.snapshot import ClusterSnapshot
from station.ui import cluster_words

TARGET = Target("192.0.2.1", 6390)


class Refused:
    """The link to a master that refuses."""

    reason = Reason.REFUSED

    def __init__(self, *_: object) -> None:
        pass

    async def connect(self) -> None:
        raise LinkFailed(self.reason)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("reason", "state", "is_reserved"),
    [
        (Reason.FALLBACKS, "not_admitted", False),
        (Reason.FULL, "not_admitted", False),
        (Reason.REFUSED, "not_admitted", False),
        (Reason.ID_TAKEN, "id_taken", False),
        (Reason.UNREACHABLE, "silent", True),
    ],
)
def test_what_a_refused_station_shows_is_what_it_does(
    *, reason: Reason, state: str, is_reserved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardware.runtime.cluster.member_loop.MemberLink", Refused)
    monkeypatch.setattr(Refused, "reason", reason)
    places: list[bool] = [True]
    shares: Any = SimpleNamespace(
        present=ClusterSnapshot(enabled=True), note_place=lambda _now_s, *, is_reserved: places.append(is_reserved)
    )
    anything: Any = SimpleNamespace(
        numbers=(1,),
        problem="",
        found=tuple,
        try_another=lambda: None,
        leases_changed=lambda: None,
        station_changed=lambda: None,
    )
    settings = ClusterSettings(enabled=True, key="K", station="S1")
    member = MemberLoop(settings, anything, shares=shares, demands=anything, limits=anything, snapshots=anything)

    asyncio.run(member._stay(TARGET, "password", anything))

    assert shares.present.state == state
    assert places[-1] is is_reserved
    assert state in cluster_words.STATES
    assert ("fallback holds" in str(cluster_words.ADVICE[state])) is is_reserved


class Listening:
    """The link to a master that answers nothing, and hears whether a report is news; it ends after some reports."""

    news: list[bool]

    def __init__(self, *_: object) -> None:
        pass

    async def connect(self) -> None:
        pass

    async def exchange(self, _report: bytes, *, is_news: bool) -> None:
        self.news.append(is_news)
        if len(self.news) == 4:
            raise LinkFailed(Reason.UNREACHABLE)

    async def wait_for_grant(self, _timeout_s: float) -> None:
        await asyncio.sleep(0)

    async def overview(self) -> None:
        pass

    async def close(self) -> None:
        pass


def test_a_report_wakes_the_master_when_it_says_what_none_before_it_knew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.runtime.cluster.member_loop.MemberLink", Listening)
    monkeypatch.setattr("hardware.runtime.cluster.member_loop.EXCHANGE_S", 0.001)
    monkeypatch.setattr(Listening, "news", news := [], raising=False)
    shares: Any = SimpleNamespace(
        present=ClusterSnapshot(enabled=True),
        note_place=lambda _now_s, *, is_reserved: None,
        member=lambda _now_s: SimpleNamespace(report=lambda _now_s, _points: SimpleNamespace(encode=lambda: b"")),
    )
    anything: Any = SimpleNamespace(
        numbers=(1,),
        problem="",
        found=tuple,
        try_another=lambda: None,
        leases_changed=lambda: None,
        station_changed=lambda: None,
        take=lambda _now_s: (),
        # A session begins while the second report is on its way.
        essence=lambda: len(news) >= 2,
    )
    settings = ClusterSettings(enabled=True, key="K", station="S1")
    member = MemberLoop(settings, anything, shares=shares, demands=anything, limits=anything, snapshots=anything)

    asyncio.run(member._stay(TARGET, "password", anything))

    assert news == [True, False, True, False]
