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
