"""The allocator: reference/hardware/loadmanagement.md sections 1, 2 and 5, DESIGN section 7, IEC 61851-1 table A.6."""

from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from station.domain.allocation import (
    ALL_PHASES,
    LEVEL_1,
    LEVEL_2,
    Budget,
    Command,
    Demand,
    Policy,
    State,
    allocate,
    confirmed,
    step,
    supply_phases,
)
from station.domain.units import PAUSE, MilliAmpere

MAINS = Budget.uniform(MilliAmpere(63_000))
ONE_PHASE = [frozenset({phase}) for phase in (1, 2, 3)]


def demand(point_id: str, *, limit: int = 32_000, active: bool = True, **fields: object) -> Demand:
    return Demand(point_id=point_id, active=active, limit=MilliAmpere(limit), **fields)  # type: ignore[arg-type]


def uniform(limit: int) -> Budget:
    return Budget.uniform(MilliAmpere(limit))


def shares(budget: Budget, *points: Demand, policy: Policy = LEVEL_1, now_s: float = 0.0) -> dict[str, int]:
    return {each.point_id: each.limit for each in allocate(budget, points, policy, now_s=now_s)}


def limits(commands: tuple[Command, ...]) -> dict[str, int]:
    return {command.point_id: command.limit for command in commands}


def carried_out(state: State, commands: tuple[Command, ...], at_s: float, *, policy: Policy = LEVEL_1) -> State:
    for command in commands:
        state = confirmed(state, command.point_id, command.limit, at_s, policy=policy)
    return state


def test_level_1_the_first_session_gets_everything_and_two_get_half_each() -> None:
    assert shares(uniform(32_000), demand("1"), demand("2", active=False)) == {"1": 32_000, "2": 0}
    assert shares(uniform(32_000), demand("1"), demand("2")) == {"1": 16_000, "2": 16_000}
    assert shares(MAINS, demand("1"), demand("2")) == {"1": 31_500, "2": 31_500}


def test_level_1_what_one_point_cannot_take_the_other_gets() -> None:
    assert shares(MAINS, demand("1", limit=13_000), demand("2", limit=63_000)) == {"1": 13_000, "2": 50_000}


def test_level_2_who_does_not_fit_with_6_ampere_is_paused_and_shown_as_waiting() -> None:
    points = [demand(str(n), waiting_since_s=float(n)) for n in range(4)]
    found = allocate(uniform(20_000), points)

    assert [each.limit for each in found] == [6_600, 6_600, 6_600, 0]
    assert [each.waiting for each in found] == [False, False, False, True]


def test_level_2_first_come_keeps_its_place() -> None:
    early = demand("z", waiting_since_s=1.0)
    late = demand("a", waiting_since_s=2.0)
    charging = demand("m", waiting_since_s=3.0, charging_since_s=3.0)

    assert shares(uniform(11_000), late, early) == {"a": 0, "z": 11_000}
    assert shares(uniform(11_000), late, early, charging) == {"a": 0, "z": 0, "m": 11_000}


def test_level_2_rotation_gives_the_place_of_who_had_its_turn_to_the_longest_waiting() -> None:
    charging = demand("1", charging_since_s=0.0)
    waiting = demand("2", waiting_since_s=10.0)

    assert shares(uniform(6_000), charging, waiting, policy=LEVEL_2, now_s=899.0) == {"1": 6_000, "2": 0}
    assert shares(uniform(6_000), charging, waiting, policy=LEVEL_2, now_s=900.0) == {"1": 0, "2": 6_000}
    assert shares(uniform(12_000), charging, waiting, policy=LEVEL_2, now_s=900.0) == {"1": 6_000, "2": 6_000}


def test_iec_61851_a_point_that_may_take_less_than_6_ampere_pauses_without_waiting() -> None:
    (found,) = allocate(MAINS, [demand("1", limit=5_999)])

    assert (found.limit, found.waiting) == (0, False)


def test_section_4_one_phase_cars_on_rotated_stations_do_not_take_from_one_another() -> None:
    assert supply_phases("RST", 1) == {1}
    assert supply_phases("STR", 1) == {2}
    assert supply_phases("STR", 2) == {2, 3}
    assert supply_phases("TRS", 3) == ALL_PHASES
    assert supply_phases("NotApplicable", 1) == ALL_PHASES
    assert supply_phases("RRT", 1) == ALL_PHASES
    points = [demand(str(n), phases=phases) for n, phases in enumerate(ONE_PHASE)]

    assert shares(uniform(16_000), *points) == {"0": 16_000, "1": 16_000, "2": 16_000}
    assert shares(uniform(20_000), *points, demand("3")) == {"0": 10_000, "1": 10_000, "2": 10_000, "3": 10_000}
    assert shares(Budget(l1=MilliAmpere(20_000), l2=MilliAmpere(9_000), l3=MilliAmpere(0)), *points) == {
        "0": 20_000,
        "1": 9_000,
        "2": 0,
    }


def test_section_3_what_a_charging_car_does_not_draw_can_be_lent() -> None:
    policy = Policy(lend_headroom=MilliAmpere(2_000))
    small = demand("1", charging_since_s=0.0, measured=MilliAmpere(7_000))

    assert shares(uniform(32_000), small, demand("2"), policy=policy) == {"1": 9_000, "2": 23_000}
    assert shares(uniform(32_000), small, demand("2")) == {"1": 16_000, "2": 16_000}


DEMANDS = st.lists(
    st.builds(
        Demand,
        point_id=st.uuids().map(str),
        active=st.booleans(),
        limit=st.integers(0, 63_000).map(MilliAmpere),
        phases=st.sampled_from([ALL_PHASES, *ONE_PHASE, frozenset({1, 2})]),
        waiting_since_s=st.integers(0, 3).map(float),
        charging_since_s=st.one_of(st.none(), st.integers(0, 3).map(float)),
    ),
    max_size=12,
    unique_by=lambda each: each.point_id,
)
LIMITS = st.integers(0, 120_000).map(MilliAmpere)
BUDGETS = st.one_of(LIMITS.map(Budget.uniform), st.builds(Budget, l1=LIMITS, l2=LIMITS, l3=LIMITS))


def of_phases(budget: Budget) -> dict[int, int]:
    return {1: budget.l1, 2: budget.l2, 3: budget.l3}


@given(BUDGETS, DEMANDS, st.randoms())
def test_section_5_a_split_is_within_the_budget_fair_and_deterministic(
    budget: Budget, points: list[Demand], random: object
) -> None:
    found = shares(budget, *points)
    random.shuffle(points)  # type: ignore[attr-defined]
    used = {phase: sum(found[each.point_id] for each in points if phase in each.phases) for phase in (1, 2, 3)}

    assert shares(budget, *points) == found
    for phase, limit in of_phases(budget).items():
        assert used[phase] <= limit
    for each in points:
        share = found[each.point_id]
        assert share == 0 or 6_000 <= share <= each.limit
        assert share == 0 or each.active
        if each.active and each.limit >= 6_000 and share == 0:
            # Nobody is paused where a further 6 A could have been given by taking from those above 6 A.
            assert any(
                sum(6_000 for other in points if found[other.point_id] and phase in other.phases) + 6_000 > limit
                for phase, limit in of_phases(budget).items()
                if phase in each.phases
            )
        if share and share < each.limit // 100 * 100:
            # Who could take more is held by a full phase, on which nobody has more than he has.
            assert any(
                limit - used[phase] < 100 * len(points)
                and all(found[other.point_id] <= share for other in points if phase in other.phases)
                for phase, limit in of_phases(budget).items()
                if phase in each.phases
            )


def test_section_1_a_reduction_goes_out_at_once_and_the_increase_follows_after_5_seconds() -> None:
    budget = uniform(32_000)
    state, commands = step(State(), [demand("1")], 0.0, budget=budget)
    assert limits(commands) == {"1": 32_000}

    both = [demand("1"), demand("2", waiting_since_s=10.0)]
    state, commands = step(state, both, 10.0, budget=budget)
    assert limits(commands) == {"1": 16_000}
    assert state.points["2"].waiting
    assert state.next_settled_s(10.0) is None
    state = carried_out(state, commands, 10.0)
    assert state.next_settled_s(10.0) == 15.0
    state, commands = step(state, both, 14.9, budget=budget)
    assert commands == ()
    state, commands = step(state, both, 15.0, budget=budget)
    assert limits(commands) == {"2": 16_000}
    assert not state.points["2"].waiting
    assert state.next_settled_s(15.0) is None


def test_section_1_the_current_of_a_paused_point_is_free_after_6_seconds() -> None:
    budget = uniform(32_000)
    state, _ = step(State(), [demand("1"), demand("2", active=False)], 0.0, budget=budget)
    swapped = [demand("1", active=False), demand("2")]

    state, commands = step(state, swapped, 1.0, budget=budget)
    assert limits(commands) == {"1": 0}
    state = carried_out(state, commands, 1.0)
    state, commands = step(state, swapped, 6.9, budget=budget)
    assert commands == ()
    state, commands = step(state, swapped, 7.0, budget=budget)
    assert limits(commands) == {"2": 32_000}


def test_level_1_a_second_session_starts_at_once_with_what_is_free() -> None:
    state, _ = step(State(), [demand("1")], 0.0, budget=MAINS)
    both = [demand("1"), demand("2")]

    state, commands = step(state, both, 1.0, budget=MAINS)
    assert limits(commands) == {"1": 31_500, "2": 31_000}
    state = carried_out(state, commands, 1.0)
    # Half an ampere more is not worth a change before 30 seconds have gone.
    state, commands = step(state, both, 30.9, budget=MAINS)
    assert commands == ()
    state, commands = step(state, both, 31.0, budget=MAINS)
    assert limits(commands) == {"2": 31_500}


def test_section_1_a_point_may_take_back_what_it_has_not_surely_given_up() -> None:
    budget = uniform(32_000)
    state, _ = step(State(), [demand("1")], 0.0, budget=budget)
    state, _ = step(state, [demand("1", limit=10_000)], 1.0, budget=budget)

    state, commands = step(state, [demand("1")], 2.0, budget=budget)

    assert limits(commands) == {"1": 32_000}


def test_section_5_a_lost_point_keeps_its_share_or_its_fallback_reserved() -> None:
    budget = uniform(32_000)
    points = [demand("1", fallback=MilliAmpere(6_000)), demand("2", active=False, fallback=MilliAmpere(6_000))]
    state, _ = step(State(), points, 0.0, budget=budget)

    lost = [points[0], replace(points[1], reachable=False)]
    state, commands = step(state, lost, 1.0, budget=budget)
    assert limits(commands) == {"1": 26_000}
    state, commands = step(state, [points[0]], 500.0, budget=budget)
    assert commands == ()
    state, commands = step(state.without("2"), [points[0]], 501.0, budget=budget)
    assert limits(commands) == {"1": 32_000}


def test_section_5_a_point_that_answers_again_may_still_draw_its_fallback_for_6_seconds() -> None:
    budget = uniform(32_000)
    points = [demand("1", fallback=MilliAmpere(6_000)), demand("2", active=False, fallback=MilliAmpere(6_000))]
    state, _ = step(State(), [points[0], replace(points[1], reachable=False)], 0.0, budget=budget)

    state, commands = step(state, points, 40.0, budget=budget)
    assert limits(commands) == {"2": 0}
    state = carried_out(state, commands, 40.0)
    state, commands = step(state, points, 46.0, budget=budget)
    assert limits(commands) == {"1": 32_000}


def test_section_5_an_unconfirmed_reduction_counts_only_when_the_lease_is_over() -> None:
    budget = uniform(32_000)
    state, _ = step(State(), [demand("1")], 0.0, budget=budget, policy=LEVEL_2)
    both = [demand("1"), demand("2")]
    state, commands = step(state, both, 10.0, budget=budget, policy=LEVEL_2)
    assert limits(commands) == {"1": 16_000}

    _, unconfirmed = step(state, both, 44.9, budget=budget, policy=LEVEL_2)
    older = confirmed(state, "1", MilliAmpere(32_000), 12.0, policy=LEVEL_2)
    _, too_old = step(older, both, 44.9, budget=budget, policy=LEVEL_2)
    _, after_lease = step(state, both, 45.0, budget=budget, policy=LEVEL_2)
    assert (unconfirmed, too_old, limits(after_lease)) == ((), (), {"2": 16_000})

    state = confirmed(state, "1", MilliAmpere(16_000), 12.0, policy=LEVEL_2)
    state, commands = step(state, both, 16.9, budget=budget, policy=LEVEL_2)
    assert commands == ()
    _, commands = step(state, both, 17.0, budget=budget, policy=LEVEL_2)
    assert limits(commands) == {"2": 16_000}


def test_level_1_an_unconfirmed_reduction_is_never_given_to_another() -> None:
    budget = uniform(32_000)
    state, _ = step(State(), [demand("1")], 0.0, budget=budget)
    both = [demand("1"), demand("2")]
    state, commands = step(state, both, 10.0, budget=budget)
    assert limits(commands) == {"1": 16_000}

    state, commands = step(state, both, 10_000.0, budget=budget)
    assert commands == ()
    state, commands = step(confirmed(state, "1", MilliAmpere(16_000), 10_000.0), both, 10_004.9, budget=budget)
    assert commands == ()
    state, commands = step(state, both, 10_005.0, budget=budget)
    assert limits(commands) == {"2": 16_000}


def test_level_1_a_controller_that_holds_more_than_it_should_counts_with_that() -> None:
    budget = uniform(32_000)
    state = confirmed(State(), "1", MilliAmpere(20_000), 0.0)

    state, commands = step(state, [demand("1", active=False), demand("2")], 100.0, budget=budget)
    assert limits(commands) == {"2": 12_000}
    state = confirmed(state, "1", PAUSE, 100.0)
    state, commands = step(state, [demand("1", active=False), demand("2")], 106.0, budget=budget)
    assert limits(commands) == {"2": 32_000}


def test_section_5_after_a_restart_what_the_points_may_still_draw_is_reserved() -> None:
    state = State.assuming({"1": MilliAmpere(32_000), "2": MilliAmpere(0)}, 0.0)
    points = [demand("1", limit=16_000), demand("2")]

    state, commands = step(state, points, 1.0, budget=uniform(32_000))
    assert limits(commands) == {"1": 16_000}
    state = carried_out(state, commands, 1.0)
    state, commands = step(state, points, 5.9, budget=uniform(32_000))
    assert commands == ()
    state, commands = step(state, points, 6.0, budget=uniform(32_000))
    assert limits(commands) == {"2": 16_000}


def test_section_5_a_point_paused_for_capacity_stays_paused_for_a_minute() -> None:
    points = [demand("1"), demand("2", waiting_since_s=1.0)]
    state, commands = step(State(), points, 0.0, budget=uniform(12_000), policy=LEVEL_2)
    assert limits(commands) == {"1": 6_000, "2": 6_000}
    state, commands = step(state, points, 1.0, budget=uniform(6_000), policy=LEVEL_2)
    assert limits(commands) == {"2": 0}

    state, commands = step(state, points, 60.9, budget=uniform(12_000), policy=LEVEL_2)
    assert "2" not in limits(commands)
    assert state.points["2"].waiting
    state, commands = step(state, points, 61.0, budget=uniform(12_000), policy=LEVEL_2)
    assert limits(commands) == {"1": 6_000}
    state = carried_out(state, commands, 61.5, policy=LEVEL_2)
    state, commands = step(state, points, 66.5, budget=uniform(12_000), policy=LEVEL_2)
    assert limits(commands) == {"2": 6_000}


def test_level_1_a_pause_set_by_another_limit_ends_at_once() -> None:
    state, _ = step(State(), [demand("1")], 0.0, budget=MAINS, policy=LEVEL_2)
    state, commands = step(state, [demand("1", limit=4_000)], 1.0, budget=MAINS, policy=LEVEL_2)
    assert limits(commands) == {"1": 0}

    state, commands = step(state, [demand("1", limit=16_000)], 1.1, budget=MAINS, policy=LEVEL_2)

    assert limits(commands) == {"1": 16_000}


@dataclass
class Yard:
    """What the points may physically draw: a car follows a reduction only when its time is over."""

    commanded: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    falling: list[tuple[str, int, float]] = field(default_factory=list)

    def obey(self, commands: tuple[Command, ...], now_s: float) -> None:
        for command in commands:
            old = self.commanded[command.point_id]
            followed_s = now_s + (5.0 if command.limit else 6.0)
            # Whatever the car was following before, it follows the newest duty cycle within its time.
            self.falling = [
                (
                    key,
                    value,
                    min(until_s, followed_s) if (key, value > command.limit) == (command.point_id, True) else until_s,
                )
                for key, value, until_s in self.falling
            ]
            if command.limit < old:
                self.falling.append((command.point_id, old, followed_s))
            self.commanded[command.point_id] = command.limit

    def draw(self, point_id: str, now_s: float) -> int:
        late = (value for key, value, until_s in self.falling if key == point_id and until_s > now_s)
        return max(self.commanded[point_id], *late, 0)


POINT_IDS = ["a", "b", "c", "d", "e"]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(POINT_IDS),
        st.sampled_from([0, 5_000, 6_000, 8_300, 16_000, 32_000]),
        st.sampled_from([0.0, 0.1, 1.0, 2.5, 4.9, 5.0, 6.0, 40.0]),
    ),
    min_size=15,
    max_size=30,
)
POLICIES = st.sampled_from(
    [LEVEL_1, Policy(rotate_after_s=20.0), Policy(rotate_after_s=3.0, reenable_after_s=8.0, raise_after_s=0.0)]
)


@settings(max_examples=100)
@given(EVENTS, st.integers(6_000, 90_000), POLICIES, st.permutations([ALL_PHASES, ALL_PHASES, *ONE_PHASE]))
def test_design_7_at_every_instant_the_sum_of_what_the_points_may_draw_is_within_the_budget(
    events: list[tuple[str, int, float]], limit: int, policy: Policy, phases: list[frozenset[int]]
) -> None:
    state, yard, now_s = State(), Yard(), 0.0
    wanted = {each: demand(each, limit=0, phases=phases[n]) for n, each in enumerate(POINT_IDS)}
    for point_id, wish, pause_s in events:
        wanted[point_id] = replace(wanted[point_id], limit=MilliAmpere(wish), waiting_since_s=now_s)
        state, commands = step(state, wanted.values(), now_s, budget=uniform(limit), policy=policy)
        yard.obey(commands, now_s)
        state = carried_out(state, commands, now_s, policy=policy)
        for phase in (1, 2, 3):
            drawn = sum(yard.draw(each, now_s) for each in POINT_IDS if phase in wanted[each].phases)
            assert drawn <= limit
            assert drawn <= of_phases(state.reserved(now_s))[phase]
        for each in POINT_IDS:
            assert yard.commanded[each] == 0 or (yard.commanded[each] >= 6_000 and yard.commanded[each] % 100 == 0)
            assert yard.commanded[each] <= wanted[each].limit
        now_s += pause_s


@settings(max_examples=100)
@given(EVENTS, st.integers(6_000, 90_000), st.lists(st.sets(st.sampled_from(POINT_IDS)), min_size=30, max_size=30))
def test_design_7_controllers_that_take_commands_late_or_never_do_not_exceed_the_budget(
    events: list[tuple[str, int, float]], limit: int, listening: list[set[str]]
) -> None:
    """The yard obeys only who listens; the others keep what they were told last."""
    state, yard, now_s = State(), Yard(), 0.0
    wanted = {each: demand(each, limit=0) for each in POINT_IDS}
    for (point_id, wish, pause_s), hearing in zip(events, listening, strict=False):
        wanted[point_id] = replace(wanted[point_id], limit=MilliAmpere(wish), waiting_since_s=now_s)
        state, _ = step(state, wanted.values(), now_s, budget=uniform(limit))
        for each in sorted(hearing):
            newest = Command(point_id=each, limit=state.points[each].commanded)
            yard.obey((newest,), now_s)
            state = carried_out(state, (newest,), now_s)
        for part in (0.0, 0.5, 0.999):
            moment_s = now_s + pause_s * part
            assert sum(yard.draw(each, moment_s) for each in POINT_IDS) <= limit
            assert state.reserved(moment_s).l1 <= limit
        now_s += pause_s


@settings(max_examples=60)
@given(EVENTS, POLICIES, st.lists(st.integers(0, 90_000), min_size=30, max_size=30))
def test_design_7_when_the_budget_itself_falls_the_commands_are_within_it_at_once(
    events: list[tuple[str, int, float]], policy: Policy, budgets: list[int]
) -> None:
    state, yard, now_s = State(), Yard(), 0.0
    wanted = {each: demand(each, limit=32_000) for each in POINT_IDS}
    for (point_id, wish, pause_s), limit in zip(events, budgets, strict=False):
        wanted[point_id] = replace(wanted[point_id], limit=MilliAmpere(wish))
        before = sum(yard.draw(each, now_s) for each in POINT_IDS)
        state, commands = step(state, wanted.values(), now_s, budget=uniform(limit), policy=policy)
        yard.obey(commands, now_s)
        state = carried_out(state, commands, now_s, policy=policy)

        assert sum(yard.commanded.values()) <= limit
        assert sum(yard.draw(each, now_s) for each in POINT_IDS) <= max(limit, before)
        now_s += pause_s


@settings(max_examples=60)
@given(EVENTS, st.integers(6_000, 90_000))
def test_section_5_once_nothing_changes_the_commands_become_the_fair_split(
    events: list[tuple[str, int, float]], limit: int
) -> None:
    state, now_s = State(), 0.0
    wanted = {each: demand(each, limit=0) for each in POINT_IDS}
    for point_id, wish, pause_s in events:
        wanted[point_id] = replace(wanted[point_id], limit=MilliAmpere(wish))
        state, commands = step(state, wanted.values(), now_s, budget=uniform(limit))
        state = carried_out(state, commands, now_s)
        now_s += pause_s
    for _ in range(4):
        now_s += 31.0
        state, commands = step(state, wanted.values(), now_s, budget=uniform(limit))
        state = carried_out(state, commands, now_s)
    present = [replace(each, charging_since_s=state.points[each.point_id].charging_since_s) for each in wanted.values()]

    assert {key: point.commanded for key, point in state.points.items()} == shares(uniform(limit), *present)


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(POINT_IDS), st.booleans(), st.booleans(), st.sampled_from([0.5, 2.0, 7.0, 17.0, 31.0])
        ),
        min_size=15,
        max_size=30,
    ),
    st.integers(0, 8_000),
)
def test_section_5_lost_points_may_go_to_their_fallback_without_exceeding_the_limit(
    events: list[tuple[str, bool, bool, float]], fallback: int
) -> None:
    state, yard, now_s, limit = State(), Yard(), 0.0, 40_000
    policy = Policy(lease_s=10.0)
    lost_since: dict[str, float] = {}
    wanted = {each: demand(each, active=False, fallback=MilliAmpere(fallback)) for each in POINT_IDS}

    def draw(point_id: str, moment_s: float) -> int:
        """A lost slave obeys its last command until its lease is over, then falls to its fallback, but never rises.

        It rises to its fallback only when everybody else's lease has run out as well and they have settled.
        """
        lost_s = moment_s - lost_since.get(point_id, moment_s)
        if lost_s >= 2 * 6.0 + policy.lease_s:
            return fallback
        if lost_s >= policy.lease_s + 6.0:
            return min(fallback, yard.draw(point_id, moment_s))
        return yard.draw(point_id, moment_s)

    for point_id, active, reachable, pause_s in events:
        before = draw(point_id, now_s)
        wanted[point_id] = replace(wanted[point_id], active=active, reachable=reachable)
        if reachable and point_id in lost_since:
            # Until its lease is over it goes on following what it was told last.
            if now_s - lost_since[point_id] >= policy.lease_s + 6.0:
                yard.commanded[point_id] = before
            del lost_since[point_id]
        elif not reachable:
            lost_since.setdefault(point_id, now_s)
        state, commands = step(state, wanted.values(), now_s, budget=uniform(limit), policy=policy)
        yard.obey(commands, now_s)
        state = carried_out(state, commands, now_s, policy=policy)
        assert not lost_since.keys() & limits(commands).keys()
        for each in POINT_IDS:
            if not wanted[each].active and wanted[each].reachable:
                assert state.points[each].charging_since_s is None
        for part in (0.0, 0.3, 0.6, 0.999):
            assert sum(draw(each, now_s + pause_s * part) for each in POINT_IDS) <= limit
        now_s += pause_s


@pytest.mark.parametrize("policy", [LEVEL_1, LEVEL_2])
def test_the_order_of_the_demands_does_not_matter(policy: Policy) -> None:
    points = [demand(str(n), waiting_since_s=float(n % 3)) for n in range(9)]
    forward = step(State(), points, 0.0, budget=uniform(40_000), policy=policy)
    backward = step(State(), reversed(points), 0.0, budget=uniform(40_000), policy=policy)

    assert limits(forward[1]) == limits(backward[1])
    assert forward[0].points == backward[0].points


def test_a_limit_of_the_sum_counts_a_point_as_often_as_it_has_phases() -> None:
    """4,200 W are 18 A for a car on one phase and 6 A for one on three."""
    total = 18_260
    assert shares(Budget.uniform(MilliAmpere(63_000), total=total), demand("1")) == {"1": 6_000}
    assert shares(Budget.uniform(MilliAmpere(63_000), total=total), demand("1", phases=ONE_PHASE[0])) == {"1": 18_200}
    both = [demand("1"), demand("2", phases=ONE_PHASE[1], waiting_since_s=1.0)]
    assert shares(Budget.uniform(MilliAmpere(63_000), total=total), *both) == {"1": 6_000, "2": 0}
    assert shares(Budget.uniform(MilliAmpere(63_000), total=26_000), *both) == {"1": 6_500, "2": 6_500}
    assert shares(Budget.uniform(MilliAmpere(6_000), total=99_000), *both) == {"1": 6_000, "2": 0}


@settings(max_examples=60)
@given(EVENTS, st.integers(18_000, 200_000), st.permutations([ALL_PHASES, ALL_PHASES, *ONE_PHASE]))
def test_a_limit_of_the_sum_holds_at_every_instant(
    events: list[tuple[str, int, float]], total: int, phases: list[frozenset[int]]
) -> None:
    state, yard, now_s = State(), Yard(), 0.0
    budget = Budget.uniform(MilliAmpere(63_000), total=total)
    wanted = {each: demand(each, limit=0, phases=phases[n]) for n, each in enumerate(POINT_IDS)}
    for point_id, wish, pause_s in events:
        wanted[point_id] = replace(wanted[point_id], limit=MilliAmpere(wish), waiting_since_s=now_s)
        state, commands = step(state, wanted.values(), now_s, budget=budget)
        yard.obey(commands, now_s)
        state = carried_out(state, commands, now_s)
        assert sum(yard.draw(each, now_s) * len(wanted[each].phases) for each in POINT_IDS) <= total
        now_s += pause_s


def test_with_rotation_the_point_that_has_charged_longest_gives_way_first() -> None:
    points = [demand("1", charging_since_s=0.0), demand("2", charging_since_s=50.0), demand("3", waiting_since_s=60.0)]

    found = shares(uniform(12_000), *points, policy=LEVEL_2, now_s=1_000.0)

    assert found == {"1": 0, "2": 6_000, "3": 6_000}
