"""When a car that stands connected without a session is given one, and how often that is tried."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from station.domain.authorization import Reason
from station.domain.commands import Outcome, Refusal, rejected
from station.domain.connector import Phase, State
from station.domain.free_charging import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    PlugIn,
    has_ended_for_good,
    is_passing,
    waits_for_session,
)

OUTCOMES = st.one_of(
    st.sampled_from(Refusal).map(rejected),
    st.sampled_from(Reason).map(lambda because: rejected(Refusal.TAG_REFUSED, because=because.value)),
)
REASONS = st.sampled_from(["", "Local", "Remote", "DeAuthorized", "UnlockCommand", "PowerLoss", "Other", "SoftReset"])


@given(phase=st.sampled_from(Phase), car=st.booleans(), reason=REASONS)
def test_only_a_car_without_a_session_that_nobody_ended_waits(phase: Phase, *, car: bool, reason: str) -> None:
    waits = waits_for_session(State(phase=phase, car=car), reason)

    assert not waits or car
    assert not waits or phase in {Phase.PLUGGED, Phase.LAPSED, Phase.FINISHING}
    if phase is Phase.FINISHING:
        assert waits == (car and reason == "PowerLoss")
        assert not (waits and has_ended_for_good(reason))


@given(st.lists(st.tuples(st.floats(0, 10), OUTCOMES), max_size=200))
def test_attempts_neither_spin_nor_flood_nor_go_on_after_a_refusal_that_stays(
    looks: list[tuple[float, Outcome]],
) -> None:
    plug_in, now_s, attempts, explained = PlugIn(), 0.0, [], []
    for seconds, outcome in looks:
        now_s += seconds
        if not plug_in.may_try(now_s):
            continue
        attempts.append(now_s)
        if plug_in.is_news(outcome):
            explained.append((outcome.reason, outcome.data.get("because")))
        plug_in = plug_in.tried(now_s).refused(outcome)
        if not is_passing(outcome):
            assert not plug_in.may_try(now_s + 1_000_000)
            break
    pauses = [later - earlier for earlier, later in pairwise(attempts)]

    assert all(pause >= min(FIRST_PAUSE_S * 2**number, LONGEST_PAUSE_S) for number, pause in enumerate(pauses))
    assert len(explained) == len(set(explained))


@given(st.lists(OUTCOMES.filter(is_passing), max_size=20))
def test_after_a_passing_refusal_the_next_attempt_comes_within_a_minute(outcomes: list[Outcome]) -> None:
    plug_in = PlugIn()
    for number, outcome in enumerate(outcomes):
        now_s = number * LONGEST_PAUSE_S
        assert plug_in.may_try(now_s)
        plug_in = plug_in.tried(now_s).refused(outcome)


def test_what_was_in_the_way_before_anything_was_tried_costs_no_pause_of_an_attempt() -> None:
    plug_in = PlugIn().hindered(rejected(Refusal.CONNECTOR_FAULTED), 100.0)

    assert plug_in.may_try(102.0)
    assert plug_in.pause_s == FIRST_PAUSE_S
    assert not plug_in.is_news(rejected(Refusal.CONNECTOR_FAULTED))
