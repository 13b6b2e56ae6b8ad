"""Set-points of an energy manager are leases: what nobody renews ends at the fallback, from the first moment on."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadmgmt.energy_manager import Control, Controls, LifeSign, SetPoint, Settings, Watchdog
from station.domain.limits import RESUME_SPAN_S, LimitSource
from station.domain.units import MilliAmpere, Watt

ON = Settings(enabled=True, watchdog_s=60, fallback=MilliAmpere(6_000))
FALLBACK = {LimitSource.ENERGY_MANAGER_SILENT: 6_000}


def controls(settings: Settings = ON) -> Controls:
    made = Controls((1, 2))
    made.configure(settings)
    return made


def amperes(current_a: int) -> SetPoint:
    return SetPoint(current=MilliAmpere(current_a * 1_000))


def test_who_is_switched_on_and_not_heard_stands_at_the_fallback_from_the_first_moment() -> None:
    assert controls().limits_of(1, 0.0) == FALLBACK
    assert controls().limits_of(2, 1e9) == FALLBACK


def test_without_the_server_nothing_is_limited() -> None:
    assert controls(Settings()).limits_of(1, 0.0) == {}
    assert controls(Settings(enabled=True, read_only=True)).limits_of(1, 0.0) == {}


def test_a_set_point_holds_while_its_writer_is_heard_and_no_longer() -> None:
    made = controls()

    made.set(1, amperes(16), 0.0)
    made.heard(1, 0.0, written=True)

    assert made.limits_of(1, 59.9) == {LimitSource.ENERGY_MANAGER: 16_000}
    assert made.next_change_s(0.0) == 60.0
    assert made.limits_of(1, 60.0) == FALLBACK
    assert made.limits_of(2, 0.0) == FALLBACK


def test_a_request_after_the_silence_brings_the_last_set_point_back() -> None:
    made = controls()
    made.set(1, amperes(16), 0.0)
    made.heard(1, 0.0, written=True)

    assert made.heard(1, 100.0)

    assert made.limits_of(1, 100.0) == {LimitSource.ENERGY_MANAGER: 16_000}


def test_where_only_writes_are_signs_of_life_a_reader_keeps_nothing_alive() -> None:
    made = controls(Settings(enabled=True, life_sign=LifeSign.WRITES))
    made.set(1, amperes(16), 0.0)
    made.heard(1, 0.0, written=True)

    assert not made.heard(1, 59.0)

    assert made.limits_of(1, 61.0) == FALLBACK


def test_what_was_written_before_a_restart_holds_only_when_its_writer_is_heard_again() -> None:
    made = controls()

    made.remember(1, amperes(10))

    assert made.limits_of(1, 0.0) == FALLBACK
    made.heard(1, 5.0)
    assert made.limits_of(1, 5.0) == {LimitSource.ENERGY_MANAGER: 10_000}


def test_without_a_watchdog_the_last_set_point_holds_for_ever() -> None:
    made = controls(Settings(enabled=True, watchdog_s=0))
    made.remember(1, amperes(10))

    assert made.limits_of(1, 1e9) == {LimitSource.ENERGY_MANAGER: 10_000}
    assert made.next_change_s(0.0) is None
    assert made[1].watchdog(0.0) is Watchdog.OFF


def test_a_shorter_watchdog_counts_from_the_last_sign_of_life() -> None:
    made = controls()
    made.set(1, amperes(16), 0.0)
    made.heard(1, 0.0, written=True)

    made.configure(Settings(enabled=True, watchdog_s=10))

    assert made.limits_of(1, 9.0) == {LimitSource.ENERGY_MANAGER: 16_000}
    assert made.limits_of(1, 10.0) == FALLBACK


def test_a_restless_manager_closes_the_contactor_once_a_minute_at_most() -> None:
    made, limits = controls(), []

    for tenth in range(3_000):
        now_s = tenth / 10
        made.set(1, amperes(32 if tenth % 2 else 0), now_s)
        made.heard(1, now_s, written=True)
        limits.append(made.limits_of(1, now_s)[LimitSource.ENERGY_MANAGER])

    closed = sum(before == 0 and after > 0 for before, after in pairwise(limits))
    assert closed == 300 // RESUME_SPAN_S


def test_a_pause_ends_at_once_and_the_next_one_when_the_contactor_has_rested() -> None:
    made = controls(Settings(enabled=True, watchdog_s=0))
    for now_s, current_a in ((0.0, 0), (1.0, 16), (2.0, 0), (3.0, 16)):
        made.set(1, amperes(current_a), now_s)
        made.limits_of(1, now_s)
        assert made.limits_of(1, now_s) == {LimitSource.ENERGY_MANAGER: 16_000 if now_s == 1.0 else 0}

    assert made.resumes_in_s(1, 3.0) == RESUME_SPAN_S - 2
    assert made.next_change_s(3.0) == 1.0 + RESUME_SPAN_S
    assert made.limits_of(1, 1.0 + RESUME_SPAN_S) == {LimitSource.ENERGY_MANAGER: 16_000}
    assert made.resumes_in_s(1, 1.0 + RESUME_SPAN_S) == 0


def test_a_rest_delays_no_reduction_and_no_end_of_the_control() -> None:
    made = controls(Settings(enabled=True, watchdog_s=0))
    for now_s, current_a in ((0.0, 0), (1.0, 16), (2.0, 0), (3.0, 16)):
        made.set(1, amperes(current_a), now_s)
        made.limits_of(1, now_s)

    made.configure(Settings())

    assert made.limits_of(1, 4.0) == {}


def test_switched_off_and_on_again_the_fallback_holds_until_somebody_is_heard() -> None:
    made = controls()
    made.heard(1, 0.0)

    made.configure(Settings())
    made.configure(ON)

    assert made.limits_of(1, 1.0) == FALLBACK


def test_a_power_is_spread_over_three_phases_and_the_lower_of_both_holds() -> None:
    assert SetPoint(power=Watt(11_040)).limit == 16_000
    assert SetPoint(power=Watt(11_040), current=MilliAmpere(10_000)).limit == 10_000
    assert SetPoint().limit is None


@given(
    st.lists(
        st.tuples(
            st.floats(0, 200, allow_nan=False),
            st.sampled_from(("read", "write", "settings")),
            st.integers(0, 80),
            st.sampled_from((0, 5, 60)),
        ),
        max_size=20,
    )
)
def test_whatever_happens_a_silent_manager_leaves_no_more_than_fallback_or_its_last_word(
    events: list[tuple[float, str, int, int]],
) -> None:
    control = Control(settings=Settings()).configured(ON)
    now_s, heard_s = 0.0, float("-inf")
    for wait_s, kind, value, watchdog_s in events:
        now_s += wait_s
        if kind == "settings":
            control = control.configured(Settings(enabled=True, watchdog_s=watchdog_s))
        else:
            if kind == "write":
                control = control.setting(amperes(value))
            control = control.heard(now_s, written=kind == "write")
            heard_s = now_s
        watch_s = control.settings.watchdog_s
        if watch_s and now_s >= heard_s + watch_s:
            assert control.limit(now_s) == control.settings.fallback
        elif kind == "write":
            assert control.limit(now_s) == value * 1_000
