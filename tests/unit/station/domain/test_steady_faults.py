"""A fault that bounces is raised once and cleared once."""

from hypothesis import given
from hypothesis import strategies as st

from station.domain.faults import FaultCode
from station.domain.steady_faults import SteadyFaults

GROUND, LOCK = FaultCode.GROUND_FAILURE, FaultCode.CONNECTOR_LOCK_FAILURE
NONE = frozenset[FaultCode]()
FRESH = SteadyFaults[FaultCode](raised_after_s=0.2, cleared_after_s=2.0)


def test_a_single_reading_raises_nothing() -> None:
    steady = FRESH.judge(frozenset({GROUND}), at_s=0.0).judge(NONE, at_s=0.25)

    assert not steady.counting
    assert not steady.judge(frozenset({GROUND}), at_s=0.5).counting


def test_a_fault_that_stands_is_raised_and_cleared_when_it_has_been_away() -> None:
    raised = FRESH.judge(frozenset({GROUND}), at_s=0.0).judge(frozenset({GROUND}), at_s=0.25)
    away = raised.judge(NONE, at_s=1.0)

    assert raised.counting == {GROUND}
    assert away.judge(NONE, at_s=2.9).counting == {GROUND}
    assert not away.judge(NONE, at_s=3.0).counting


def test_a_fault_that_returns_before_it_was_cleared_has_never_been_away() -> None:
    steady = FRESH.judge(frozenset({GROUND}), at_s=0.0).judge(frozenset({GROUND}), at_s=0.25)
    for second in range(1, 60):
        steady = steady.judge(NONE if second % 2 else frozenset({GROUND}), at_s=float(second))
        assert steady.counting == {GROUND}


def test_each_fault_has_its_own_time() -> None:
    steady = FRESH.judge(frozenset({GROUND}), at_s=0.0).judge(frozenset({GROUND, LOCK}), at_s=0.25)

    assert steady.counting == {GROUND}
    assert steady.judge(frozenset({LOCK}), at_s=0.5).counting == {GROUND, LOCK}


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.booleans()), max_size=60))
def test_what_counts_never_changes_twice_within_the_shorter_patience(readings: list[tuple[float, bool]]) -> None:
    steady, at_s, changed_s = FRESH, 0.0, float("-inf")
    for pause_s, is_there in readings:
        at_s += pause_s
        before, steady = steady.counting, steady.judge(frozenset({GROUND} if is_there else ()), at_s=at_s)
        if steady.counting != before:
            assert at_s - changed_s >= FRESH.raised_after_s
            changed_s = at_s
