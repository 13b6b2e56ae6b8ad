"""The leader: it lends what its account leaves, and its account knows whom it may have lost."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from station.domain.allocation import Budget
from station.domain.cluster.leader import KnownMember, Leader, ReportRefused
from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant, GrantId, PointReport, Report
from station.domain.cluster.timing import GATHER_S, LEASE_BOUND_S, LEASE_S, LOST_AFTER_S
from station.domain.limits import LimitSource
from station.domain.units import PAUSE, MilliAmpere

LIMIT = Budget.uniform(MilliAmpere(63_000))
FALLBACK, RATING = MilliAmpere(6_000), MilliAmpere(32_000)


def known(station: str, *points: int) -> KnownMember:
    return KnownMember(station=station, points=points or (1,), fallback=FALLBACK, rating=RATING)


class Bench:
    """Members and a leader in the same room: every exchange arrives at once, unless a link is cut."""

    def __init__(self, *stations: str, budget: Budget = LIMIT) -> None:
        self.now_s = 0.0
        self.budget = budget
        self.active: set[str] = set()
        self.deaf: set[str] = set()
        self.dumb: set[str] = set()
        self.stuck: dict[str, int] = {}
        self.limits: dict[str, int] = {}
        self.members = {station: self.member(station) for station in stations}
        self.leader = self.lead("first", "none")
        self.reports: dict[str, Report] = {}
        self.grants: Mapping[str, Grant] = {}

    def member(self, station: str, run: str = "1", held: int = 0) -> Member:
        return Member(
            station=station,
            run=station + run,
            fallback=FALLBACK,
            held={1: MilliAmpere(held)},
            now_s=self.now_s,
            jitter_s=0.0,
        )

    def lead(self, epoch: str, predecessor: str | None) -> Leader:
        return Leader(map(known, self.members), epoch=epoch, now_s=self.now_s, predecessor=predecessor)

    def granted(self, station: str) -> int:
        (limit,) = self.members[station].limits_of(1, self.now_s).values()
        return limit

    def all_sources(self) -> dict[str, LimitSource]:
        limits = {station: member.limits_of(1, self.now_s) for station, member in self.members.items()}
        return {station: source for station, found in limits.items() for source in found}

    def held(self, station: str) -> int:
        held = self.granted(station) if station in self.active else 0
        return self.stuck.get(station, held)

    def exchange(self, seconds: float = 2.0, *, until_s: float | None = None) -> None:
        end_s = self.now_s + seconds if until_s is None else until_s
        while self.now_s < end_s:
            for station, member in self.members.items():
                self.reports[station] = member.report(self.now_s, [self.point(station)])
                if station not in self.dumb:
                    self.leader.hear(self.reports[station], self.now_s)
            self.grants = self.leader.decide(self.now_s, self.budget)
            for station, grant in self.grants.items():
                if station not in self.deaf:
                    self.members[station].take(grant, self.now_s)
            self.now_s += 1.0

    def point(self, station: str) -> PointReport:
        return PointReport(
            number=1,
            active=station in self.active,
            limit=MilliAmpere(self.limits.get(station, RATING)),
            held=MilliAmpere(self.held(station)),
        )

    def all_granted(self) -> dict[str, int]:
        return {station: self.granted(station) for station in self.members}


def test_the_example_of_63_ampere_never_becomes_69() -> None:
    """Two charge with 31.5 A each, the third is cut off: before it may rise to 6 A the others have made room."""
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    assert bench.all_granted() == {"a": 31_500, "b": 31_500, "c": 0}

    bench.deaf, bench.dumb = {"c"}, {"c"}
    cut_s = bench.now_s
    bench.exchange(LOST_AFTER_S + 2.0)

    assert bench.all_granted() == {"a": 28_500, "b": 28_500, "c": 0}
    bench.exchange(until_s=cut_s + 100.0)
    assert bench.all_granted() == {"a": 28_500, "b": 28_500, "c": 6_000}
    assert bench.leader.overview(bench.now_s).stations[2].lost


def test_the_others_are_cut_off_as_well_and_have_fallen_before_the_third_rises() -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    bench.deaf = bench.dumb = {"a", "b", "c"}
    sums = []
    for _ in range(100):
        bench.exchange(1.0)
        sums.append(sum(bench.all_granted().values()))

    assert sums[:28] == [63_000] * 28
    assert set(sums[31:55]) == {12_000}
    assert sums[-1] == 18_000


@pytest.mark.parametrize("how", ["deaf", "dumb"])
def test_a_member_whose_link_works_in_one_direction_only_is_lost_as_well(how: str) -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    getattr(bench, how).add("c")
    bench.exchange(LOST_AFTER_S + 3.0)

    assert bench.all_granted() == {"a": 28_500, "b": 28_500, "c": 0}
    getattr(bench, how).clear()
    bench.exchange(20.0)
    assert bench.all_granted() == {"a": 31_500, "b": 31_500, "c": 0}


def test_a_charging_member_that_is_back_soon_goes_on_with_what_it_has() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.deaf = {"b"}
    bench.exchange(20.0)
    assert bench.leader.overview(bench.now_s).stations[1].lost
    bench.deaf = set()
    for _ in range(10):
        bench.exchange(1.0)
        assert bench.granted("b") == 31_500


def test_a_member_that_stays_away_counts_with_its_fallback_when_its_lease_is_surely_over() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.deaf = bench.dumb = {"b"}
    bench.exchange(30.0)
    assert bench.granted("a") == 31_500
    bench.exchange(30.0)
    assert bench.granted("a") == 32_000
    assert bench.leader.overview(bench.now_s).reserved.l1 == 38_000


def test_a_raise_waits_until_every_reduction_is_confirmed_and_has_had_its_time() -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    bench.stuck = {"a": 31_500}
    bench.active = {"a", "b", "c"}

    bench.exchange(60.0)
    assert bench.all_granted() == {"a": 21_000, "b": 21_000, "c": 10_500}
    bench.stuck = {}
    bench.exchange(5.0)
    assert bench.granted("c") == 10_500
    bench.exchange(2.0)
    assert bench.granted("c") == 21_000


def test_a_board_that_does_not_follow_counts_even_when_its_station_is_lost() -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    bench.stuck = {"a": 31_500}
    bench.active = {"a", "b", "c"}
    bench.exchange(5.0)
    bench.deaf = bench.dumb = {"a"}

    bench.exchange(300.0)

    assert 31_000 < bench.granted("b") + bench.granted("c") <= 31_500


def test_what_flows_beyond_the_limit_counts_while_it_is_measured() -> None:
    bench = Bench("a", "b")
    bench.active = {"b"}
    bench.exchange(40.0)
    welded = replace(bench.point("a"), flowing=MilliAmpere(40_000))
    bench.leader.hear(bench.members["a"].report(bench.now_s, [welded]), bench.now_s)

    assert bench.leader.overview(bench.now_s).stations[0].points[0].reserved == 40_000
    bench.exchange(1.0)
    assert bench.leader.overview(bench.now_s).stations[0].points[0].reserved == 0


def test_a_leader_that_is_started_again_leaves_everybody_what_he_has() -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.leader = bench.lead("second", "first")
    for _ in range(40):
        bench.exchange(1.0)
        assert bench.all_granted() == {"a": 31_500, "b": 31_500, "c": 0}


def test_a_leader_lends_nothing_before_it_has_met_everyone_it_knows_or_all_leases_are_over() -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.leader = bench.lead("second", "first")
    bench.dumb = {"c"}
    began_s = bench.now_s
    bench.exchange(GATHER_S)
    assert bench.all_granted() == {"a": 6_000, "b": 6_000, "c": 0}
    assert bench.leader.overview(began_s).gathering_s == GATHER_S
    bench.exchange(20.0)
    # The fallback of the one that was not heard stays reserved.
    assert bench.all_granted() == {"a": 28_500, "b": 28_500, "c": 6_000}


def test_a_leader_that_has_not_led_before_waits_for_leases_of_another_one() -> None:
    bench = Bench("a", "b")
    bench.active = {"a"}
    bench.exchange(30.0)

    for predecessor in (None, "another"):
        bench.leader = bench.lead(f"after-{predecessor}", predecessor)
        bench.exchange(GATHER_S - 5.0)
        assert bench.grants["a"].limits is None
        bench.exchange(15.0)
        assert bench.grants["a"].limits is not None


def test_a_car_that_was_paused_a_moment_before_its_station_greets_a_new_leader_has_its_six_seconds() -> None:
    """Seed 3378 of the simulation: a car that drove away is paused, and its station may rise to its fallback."""
    leader = Leader([known("a")], epoch="new", now_s=0.0, predecessor="old")
    charging = PointReport(number=1, active=True, limit=RATING, held=RATING)
    paused = replace(charging, active=False, held=PAUSE)
    report = Report(station="a", run="1", seq=1, fallback=FALLBACK, points=(charging,))
    leader.hear(report, 0.0)
    greeting = leader.decide(0.0, LIMIT)["a"]

    answer = GrantId(epoch=greeting.epoch, number=greeting.number)
    leader.hear(replace(report, seq=2, lease_of=answer, points=(paused,)), 1.0)

    assert leader.overview(6.5).reserved.l1 == RATING
    assert leader.overview(7.5).reserved.l1 == FALLBACK


def test_a_report_from_before_the_restart_raises_nobody() -> None:
    """a has given 15.5 A to b; a new leader that believed an old report of a would let it take them again."""
    bench = Bench("a", "b", budget=Budget.uniform(MilliAmpere(32_000)))
    bench.active = {"a"}
    bench.exchange(40.0)
    assert bench.granted("a") == 32_000
    old = bench.reports["a"]
    bench.active = {"a", "b"}
    bench.exchange(20.0)
    assert bench.all_granted() == {"a": 16_000, "b": 16_000}

    bench.leader = bench.lead("second", "first")
    bench.dumb = {"a"}
    bench.leader.hear(old, bench.now_s)
    for _ in range(60):
        bench.exchange(1.0)
        assert bench.granted("a") <= 16_000
        assert bench.granted("a") + bench.granted("b") <= 32_000


def test_a_member_that_is_started_again_counts_with_what_it_holds_until_it_has_answered() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.members["b"] = bench.member("b", run="2", held=31_500)
    assert bench.granted("b") == 6_000
    bench.exchange(1.0)
    assert bench.grants["b"].limits is None
    for _ in range(8):
        bench.exchange(1.0)
        assert bench.granted("a") == 31_500
    assert bench.granted("b") == 31_500


def test_an_old_report_of_a_run_that_was_left_changes_nothing() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    old = bench.members["b"].report(bench.now_s, [replace(bench.point("b"), active=False, held=MilliAmpere(0))])
    bench.members["b"] = bench.member("b", run="2", held=31_500)
    bench.exchange(10.0)
    before = bench.leader.overview(bench.now_s)

    bench.leader.hear(old, bench.now_s)
    bench.leader.hear(bench.reports["b"], bench.now_s)

    assert bench.leader.overview(bench.now_s) == before


def test_who_does_not_belong_to_the_cluster_is_refused() -> None:
    bench = Bench("a")
    point = bench.point("a")
    with pytest.raises(ReportRefused, match="unknown_station"):
        bench.leader.hear(bench.member("x").report(0.0, [point]), 0.0)
    with pytest.raises(ReportRefused, match="unknown_point"):
        bench.leader.hear(bench.members["a"].report(0.0, [point, replace(point, number=2)]), 0.0)


def test_a_new_station_counts_with_its_fallback_and_a_forgotten_one_until_its_lease_is_over() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.leader.adopt(known("c"))
    bench.exchange(1.0)
    assert bench.leader.overview(bench.now_s).stations[2].lost
    assert bench.all_granted() == {"a": 28_500, "b": 28_500}
    bench.leader.forget("c")
    bench.exchange(20.0)
    assert bench.all_granted() == {"a": 31_500, "b": 31_500}

    bench.leader.forget("b")
    del bench.members["b"]
    bench.exchange(LEASE_S)
    assert bench.granted("a") == 31_500
    bench.exchange(30.0)
    assert bench.granted("a") == 32_000


def test_a_lower_limit_reduces_at_once_and_a_limit_of_the_sum_counts_all_phases() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)

    bench.budget = Budget.uniform(MilliAmpere(63_000), total=72_000)
    bench.exchange(1.0)

    assert bench.all_granted() == {"a": 12_000, "b": 12_000}


def test_a_dimmed_cluster_tells_who_has_less_because_of_it() -> None:
    bench = Bench("a", "b", "c", "d")
    bench.active = {"a", "b", "d"}
    bench.limits = {"b": 10_000, "d": 0}
    bench.exchange(40.0)
    assert bench.all_sources() == dict.fromkeys("abcd", LimitSource.CLUSTER)

    bench.budget = Budget.uniform(MilliAmpere(63_000), total=72_000)
    bench.exchange(20.0)

    # "b" has all it can use, "c" has no car, and "d" could not charge with any share.
    assert bench.all_granted() == {"a": 14_000, "b": 10_000, "c": 0, "d": 0}
    assert bench.all_sources() == dict.fromkeys("bcd", LimitSource.CLUSTER) | {"a": LimitSource.GRID_OPERATOR}

    bench.budget = LIMIT
    bench.exchange(2.0)
    assert bench.all_sources() == dict.fromkeys("abcd", LimitSource.CLUSTER)


def test_a_limit_of_the_sum_that_the_phases_could_not_reach_anyway_dims_nobody() -> None:
    bench = Bench("a", "b", "c", budget=Budget.uniform(MilliAmpere(30_000), total=90_000))
    bench.active = {"a", "b", "c"}
    bench.exchange(40.0)

    assert bench.all_granted() == dict.fromkeys("abc", 10_000)
    assert bench.all_sources() == dict.fromkeys("abc", LimitSource.CLUSTER)


def test_who_does_not_fit_waits_and_with_rotation_takes_the_place_of_the_one_that_has_charged_longest() -> None:
    bench = Bench("a", "b", "c", budget=Budget.uniform(MilliAmpere(12_000)))
    bench.leader.rotate_after(300.0)
    bench.active = {"a"}
    bench.exchange(30.0)
    bench.active = {"a", "b"}
    bench.exchange(30.0)
    bench.active = {"a", "b", "c"}
    bench.exchange(30.0)
    assert bench.all_granted() == {"a": 6_000, "b": 6_000, "c": 0}
    assert bench.members["c"].waiting == {1}

    bench.exchange(until_s=330.0)
    assert bench.all_granted() == {"a": 0, "b": 6_000, "c": 6_000}
    assert bench.members["a"].waiting == {1}


def test_a_lease_that_was_asked_for_long_ago_does_not_bring_a_member_back() -> None:
    """Its report was under way for 20 s: the lease it asks for has 10 s left, and so much later it may be cut off."""
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    late = bench.members["b"].report(bench.now_s, [bench.point("b")])
    bench.dumb = {"b"}
    bench.exchange(20.0)

    bench.leader.hear(late, bench.now_s)
    grant = bench.leader.decide(bench.now_s, LIMIT)["b"]
    assert bench.members["b"].take(grant, bench.now_s)
    bench.leader.hear(bench.members["b"].report(bench.now_s, [bench.point("b")]), bench.now_s)
    bench.leader.decide(bench.now_s, LIMIT)

    assert bench.leader.overview(bench.now_s).stations[1].lost


def test_a_grant_that_is_still_under_way_counts_whatever_the_member_reports_meanwhile() -> None:
    bench = Bench("a", "b")
    bench.active = {"a"}
    bench.limits = {"a": 10_000}
    bench.exchange(40.0)
    bench.deaf = {"a"}
    bench.limits = {"a": 32_000}
    bench.exchange(1.0)
    higher = bench.grants["a"]
    bench.limits = {"a": 8_000}
    bench.exchange(8.0)
    assert bench.granted("a") == 10_000

    assert bench.leader.overview(bench.now_s).stations[0].points[0].reserved == 32_000
    assert bench.members["a"].take(higher, bench.now_s)
    assert bench.granted("a") == 32_000


def test_a_member_that_has_answered_another_leader_is_met_anew() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    other = bench.lead("other", "first")
    bench.dumb = bench.deaf = {"b"}
    report = bench.members["b"].report(bench.now_s, [bench.point("b")])
    other.hear(report, bench.now_s)
    assert bench.members["b"].take(other.decide(bench.now_s, LIMIT)["b"], bench.now_s)

    bench.dumb = bench.deaf = set()
    bench.exchange(1.0)
    assert bench.grants["b"].limits is None
    bench.exchange(40.0)
    assert bench.all_granted() == {"a": 31_500, "b": 31_500}


@pytest.mark.parametrize("is_dumb", [False, True])
def test_a_first_lease_that_was_never_confirmed_does_not_free_the_fallback(*, is_dumb: bool) -> None:
    bench = Bench("a", "b", "c")
    bench.active = {"a", "b"}
    bench.exchange(40.0)
    bench.leader = bench.lead("second", "first")
    bench.exchange(1.0)
    bench.deaf = {"c"}
    bench.exchange(1.0)
    bench.dumb = {"c"} if is_dumb else set()

    for _ in range(80):
        bench.exchange(1.0)
        assert bench.leader.overview(bench.now_s).stations[2].points[0].reserved >= 6_000
        assert sum(bench.all_granted().values()) <= 63_000


def test_a_member_that_asks_for_ever_and_takes_nothing_does_not_fill_the_memory() -> None:
    bench = Bench("a", "b")
    bench.active = {"a", "b"}
    bench.deaf = {"b"}

    bench.exchange(600.0)

    newcomer = bench.leader._members["b"].newcomer
    assert newcomer is not None
    assert len(newcomer.written) <= LEASE_BOUND_S + 1.0
    bench.deaf = set()
    bench.exchange(40.0)
    assert bench.all_granted() == {"a": 31_500, "b": 31_500}


def test_a_station_that_is_lost_and_back_again_and_again_does_not_fill_the_memory() -> None:
    bench = Bench("a", "b")
    bench.exchange(40.0)

    for _ in range(50):
        bench.dumb = {"b"}
        bench.exchange(LOST_AFTER_S + 4.0)
        assert bench.leader.overview(bench.now_s).stations[1].lost
        bench.dumb = set()
        bench.exchange(4.0)
        assert not bench.leader.overview(bench.now_s).stations[1].lost

    assert len(bench.leader._state.points["b/1"].echoes) <= 5
