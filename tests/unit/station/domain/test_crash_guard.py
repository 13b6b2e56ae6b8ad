from dataclasses import replace

from station.domain.crash_guard import (
    CRASHES,
    FIRST_RETRY_S,
    LONGEST_RETRY_S,
    WINDOW_S,
    CrashCause,
    CrashHistory,
    began,
)


def runs(history: CrashHistory, *moments: float) -> CrashHistory:
    """Begin runs one after the other, none of which ends in order."""
    for moment in moments:
        history = began(history, moment)
    return history


def in_safe_mode(at_s: float = 1000.0) -> CrashHistory:
    found = runs(CrashHistory(), *(at_s + 10.0 * number for number in range(CRASHES + 1)))
    assert found.is_safe_mode
    return found


def test_a_control_loop_that_crashes_now_and_then_goes_on() -> None:
    history = runs(CrashHistory(), *(number * WINDOW_S / 4 for number in range(50)))

    assert not history.is_safe_mode


def test_the_fifth_crash_in_ten_minutes_is_the_last_one() -> None:
    fourth = runs(CrashHistory(), 1000.0, 1010.0, 1020.0, 1030.0, 1040.0)
    assert not fourth.is_safe_mode

    fifth = began(fourth, 1050.0)

    assert fifth.is_safe_mode
    assert fifth.safe_until_s == 1050.0 + FIRST_RETRY_S


def test_safe_mode_that_is_killed_is_safe_mode_again_until_its_time_is_over() -> None:
    safe = in_safe_mode()
    assert safe.safe_until_s is not None

    assert began(safe, safe.safe_until_s - 1).safe_until_s == safe.safe_until_s
    assert not began(safe, safe.safe_until_s).is_safe_mode


def test_one_crash_after_safe_mode_leads_back_to_it_for_twice_the_time() -> None:
    history = in_safe_mode()
    waits = []
    for _ in range(9):
        assert history.safe_until_s is not None
        tried_at_s = history.safe_until_s
        history = runs(history, tried_at_s, tried_at_s + 20)
        assert history.safe_until_s is not None
        waits.append(history.safe_until_s - tried_at_s - 20)

    assert waits[:3] == [2 * FIRST_RETRY_S, 4 * FIRST_RETRY_S, 8 * FIRST_RETRY_S]
    assert waits[-1] == LONGEST_RETRY_S


def test_a_control_loop_that_has_lived_for_a_while_after_safe_mode_has_all_its_crashes_again() -> None:
    safe = in_safe_mode()
    assert safe.safe_until_s is not None
    tried = began(safe, safe.safe_until_s)

    crashed = began(tried, safe.safe_until_s + WINDOW_S)

    assert not crashed.is_safe_mode
    assert crashed.retries == 0


def test_the_cause_of_the_last_crash_is_kept_and_a_silent_death_is_one_too() -> None:
    said = runs(CrashHistory(), 1000.0, 1010.0, 1020.0, 1030.0, 1040.0)

    assert began(said, 1050.0).cause is CrashCause.KILLED
    assert began(replace(said, cause=CrashCause.EXCEPTION), 1050.0).cause is CrashCause.EXCEPTION


def test_the_guard_can_be_switched_off_for_a_harness_that_kills() -> None:
    history = CrashHistory()
    for number in range(100):
        history = began(history, 1000.0 + number, crashes_allowed=0)

    assert not history.is_safe_mode
