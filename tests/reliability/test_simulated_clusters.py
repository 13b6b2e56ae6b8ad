"""Clusters of stations in virtual time, by seed: the sum of what the points may draw never exceeds the limit.

`benchmarks/cluster_simulation.py` does the same with 10,000 seeds; tests/reliability/cluster says what is modelled.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from hardware.runtime import limit_book
from station.domain.allocation import PointState
from station.domain.cluster import leader, member, timing
from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant
from station.domain.units import PAUSE, MilliAmpere
from tests.reliability.cluster import product, stations
from tests.reliability.cluster.happenings import Happening, Scene
from tests.reliability.cluster.stations import StationPlan
from tests.reliability.cluster.world import Outcome, World

SMALL_DOSE = 200
_PORTIONS = 8

Worsen: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def _live(seed: int, *, faults: float, happenings: int = 8, points: int | None = None) -> Outcome:
    return World(seed, faults=faults, happenings=happenings, points=points, in_bytes=seed % 8 == 0).run()


@pytest.mark.parametrize("portion", range(_PORTIONS))
def test_whatever_fails_the_points_never_may_draw_more_than_the_limit(
    portion: int, request: pytest.FixtureRequest
) -> None:
    first, number = request.config.getoption("--seed"), request.config.getoption("--seeds") or SMALL_DOSE
    for seed in range(first + portion, first + number, _PORTIONS):
        outcome = _live(seed, faults=(0.2, 0.5, 0.8)[seed % 3])

        assert not outcome.violations, f"--seed {seed} --seeds 1\n" + "\n".join(outcome.violations[:5])


def test_two_hundred_points_stay_within_the_limit_while_things_fail() -> None:
    outcome = _live(1, faults=0.6, points=200, happenings=6)

    assert outcome.points == 200
    assert not outcome.violations


def test_when_nothing_fails_the_limit_is_used_fifteen_seconds_after_a_change() -> None:
    used = [part for seed in range(1, 31) for part in _live(seed, faults=0.0, happenings=16).used]

    assert len(used) > 20
    assert sum(part >= 0.95 for part in used) >= 0.95 * len(used), sorted(used)[:10]


def test_a_seed_lives_the_same_life_again() -> None:
    worlds = [World(11, faults=0.6) for _ in range(2)]
    outcomes = [world.run() for world in worlds]

    assert outcomes[0] == outcomes[1]
    assert worlds[0].diary == worlds[1].diary
    assert worlds[0].checker.allowed == worlds[1].checker.allowed


def test_the_simulated_station_shares_its_mains_out_by_the_policy_of_the_real_one() -> None:
    assert stations.WITHIN_STATION == limit_book.WITHIN_STATION


def test_what_a_silent_board_goes_on_with_at_a_station_that_is_cut_off_is_counted_by_itself() -> None:
    fails = (
        Happening(at_s=100, kind="silent_board", station=SECOND, lasts_s=150),
        Happening(at_s=101, kind="cut", station=SECOND, lasts_s=150),
    )
    story = (*CARS_FILL_THE_LIMIT, *fails, _car(110, MASTER), _car(111, THIRD))

    outcome = World(1, scene=WITHOUT_FALLBACKS, story=story).run(260)

    assert outcome.violations == []
    assert outcome.unknowable


# --- the checker bites: each of these protocols is worse in one point

FALLBACK_A = 8
# As much as the fallbacks of the first three stations; the fourth has none.
TIGHT = Scene(
    stations=tuple(
        StationPlan(
            name=f"S{number}",
            phases=(1, 2, 3),
            ratings=(32_000,),
            mains=32_000,
            fallback=fallback_a * 1_000,
            clock_began_s=number * 1_000.0,
            clock_rate=1.0,
        )
        for number, fallback_a in enumerate((0, FALLBACK_A, FALLBACK_A, FALLBACK_A), 1)
    ),
    limit=3 * FALLBACK_A * 1_000,
    policy_rotation_s=0.0,
)
WITHOUT_FALLBACKS = replace(TIGHT, stations=tuple(replace(plan, fallback=0) for plan in TIGHT.stations))
MASTER, SECOND, THIRD, FOURTH = range(4)


def _car(at_s: float, station: int) -> Happening:
    return Happening(at_s=at_s, kind="arrive", station=station, amount=32_000)


CARS_FILL_THE_LIMIT = (_car(60, SECOND), _car(65, FOURTH))
A_CAR_COMES_WHERE_NO_LINK_IS = (
    *(Happening(at_s=100, kind="cut", station=each, lasts_s=200) for each in (SECOND, THIRD, FOURTH)),
    _car(110, THIRD),
)
ONE_LINK_IS_CUT = (Happening(at_s=100, kind="cut", station=THIRD, lasts_s=200), _car(110, THIRD))
GRANTS_COME_LATE_BEFORE_THE_LINK_IS_CUT = (
    Happening(at_s=100, kind="late", station=SECOND, lasts_s=40, amount=28),
    Happening(at_s=130, kind="cut", station=SECOND, lasts_s=200),
)


def _cars_follow_at_once(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(product, "POLICY", replace(timing.POLICY, settle_s=0.0, pause_settle_s=0.0))


def _the_rise_follows_the_lease(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(member, "RISE_AFTER_S", 0.0)


class _CountsFromTheAnswer(Member):
    def take(self, grant: Grant, now_s: float) -> bool:
        self._questions = {seq: replace(question, sent_s=now_s) for seq, question in self._questions.items()}
        return super().take(grant, now_s)


def _leases_count_from_the_answer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(product, "Member", _CountsFromTheAnswer)


def _a_lost_member_counts_no_more(patch: pytest.MonkeyPatch) -> None:
    reserved = PointState.reserved

    def forgetful(self: PointState, now_s: float) -> MilliAmpere:
        return PAUSE if self.lost else reserved(self, now_s)

    patch.setattr(PointState, "reserved", forgetful)


def _nobody_is_ever_lost(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(leader, "LOST_AFTER_S", math.inf)


@pytest.mark.parametrize(
    ("worsen", "story"),
    [
        (_cars_follow_at_once, ()),
        (_the_rise_follows_the_lease, A_CAR_COMES_WHERE_NO_LINK_IS),
        (_leases_count_from_the_answer, GRANTS_COME_LATE_BEFORE_THE_LINK_IS_CUT),
        (_a_lost_member_counts_no_more, ONE_LINK_IS_CUT),
        (_nobody_is_ever_lost, ONE_LINK_IS_CUT),
    ],
)
def test_a_worse_protocol_is_caught(
    worsen: Worsen, story: tuple[Happening, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def violations() -> list[str]:
        return World(1, scene=TIGHT, story=(*CARS_FILL_THE_LIMIT, *story)).run(260).violations

    assert violations() == []

    worsen(monkeypatch)

    assert violations()
