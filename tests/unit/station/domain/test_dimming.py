from hypothesis import given
from hypothesis import strategies as st

from station.domain.dimming import (
    DEBOUNCE_S,
    SILENT_AFTER_S,
    ActiveWhen,
    Cause,
    Contact,
    Drawn,
    Judgement,
    Settings,
    WhenSilent,
    is_carried_out,
    judge,
    least_power,
    phases_of,
    total_of,
)
from station.domain.limits import floor_to_step
from station.domain.units import MilliAmpere, Watt

_readings = st.lists(st.tuples(st.floats(0.01, 4.0), st.booleans()), max_size=40)


def settings(**changes: object) -> Settings:
    return Settings(**{"enabled": True, **changes})  # type: ignore[arg-type]


def test_the_set_power_of_the_law_leaves_six_amperes_on_three_phases_and_eighteen_on_one() -> None:
    total = settings().total

    assert floor_to_step(total // 3) == 6_000
    assert floor_to_step(total) == 18_200


@given(power=st.integers(0, 50_000), phases=st.sampled_from([1, 3]))
def test_whatever_is_set_one_car_can_charge_and_no_more_than_set_is_left(power: int, phases: int) -> None:
    total = settings(power=Watt(power), phases=phases).total

    assert floor_to_step(total // phases) >= 6_000
    if power >= least_power(phases):
        assert total * 230 / 1000 <= power
        assert total == total_of(Watt(power))


def test_least_powers_are_those_of_six_amperes() -> None:
    assert (least_power(3), least_power(1)) == (4_140, 1_380)


def test_the_phases_are_those_of_the_point_that_needs_most() -> None:
    assert phases_of("0.RST,1.RST,2.STR", {}, 2) == 3
    assert phases_of("0.RST,1.RST,2.STR", {1: 1}, 2) == 3
    assert phases_of("0.RST,1.RST,2.STR", {1: 1, 2: 1}, 2) == 1
    # Which of the phases a charging point loads is not known here, so it counts on all of them.
    assert phases_of("0.RST,1.RST,2.Unknown", {1: 1, 2: 1}, 2) == 3
    assert phases_of("", {}, 1) == 3


@given(readings=_readings, later_s=st.floats(0.0, 5.0))
def test_a_position_that_is_known_was_read_twice_and_lately(readings: list[tuple[float, bool]], later_s: float) -> None:
    contact, now_s, made = Contact(), 100.0, []
    for pause_s, closed in readings:
        now_s += pause_s
        made.append((now_s, closed))
        contact = contact.read(closed=closed, at_s=now_s)
    now_s += later_s

    position = contact.position(now_s)

    if position is None:
        return
    assert now_s - made[-1][0] <= SILENT_AFTER_S
    # There were two readings of it one after the other, far enough apart for no bounce.
    assert any(
        all(each is position for at_s, each in made[first : last + 1]) and made[last][0] - made[first][0] >= DEBOUNCE_S
        for last in range(len(made))
        for first in range(last)
    )


def test_a_change_counts_within_a_second_when_the_module_is_read_twice_a_second() -> None:
    contact = Contact().read(closed=False, at_s=0.0).read(closed=False, at_s=0.5)
    assert contact.position(0.5) is False

    contact = contact.read(closed=True, at_s=1.0)
    assert contact.position(1.0) is False
    contact = contact.read(closed=True, at_s=1.5)
    assert contact.position(1.5) is True


def test_a_contact_that_bounces_keeps_its_last_position() -> None:
    contact = Contact().read(closed=True, at_s=0.0).read(closed=True, at_s=0.5)
    for number in range(20):
        contact = contact.read(closed=number % 2 == 1, at_s=1.0 + number / 2)

        assert contact.position(1.0 + number / 2) is True


def test_a_change_is_read_again_soon_and_a_silent_module_is_not_hurried() -> None:
    contact = Contact().read(closed=True, at_s=0.0)
    assert contact.is_in_doubt(0.0)

    contact = contact.read(closed=True, at_s=0.5)
    assert not contact.is_in_doubt(0.5)
    assert contact.read(closed=False, at_s=1.0).is_in_doubt(1.0)
    assert not contact.is_in_doubt(0.5 + SILENT_AFTER_S + 0.1)


def test_after_silence_nothing_is_known_until_the_module_was_read_twice_again() -> None:
    contact = Contact().read(closed=True, at_s=0.0).read(closed=True, at_s=0.5)
    assert contact.falls_silent_s(1.0) == 0.5 + SILENT_AFTER_S

    assert contact.position(0.5 + SILENT_AFTER_S + 0.01) is None
    contact = contact.read(closed=True, at_s=10.0)
    assert contact.position(10.0) is None
    assert contact.falls_silent_s(10.0) is None
    assert contact.read(closed=True, at_s=10.5).position(10.5) is True


def test_what_is_not_known_counts_as_the_installer_chose() -> None:
    for choice in WhenSilent:
        found = judge(settings(when_silent=choice), None)

        assert found == Judgement(active=choice is WhenSilent.ACTIVE, cause=Cause.SILENT)


@given(closed=st.booleans(), active_when=st.sampled_from(ActiveWhen), when_silent=st.sampled_from(WhenSilent))
def test_a_known_position_counts_whatever_silence_would(
    closed: bool,  # noqa: FBT001
    active_when: ActiveWhen,
    when_silent: WhenSilent,
) -> None:
    found = judge(settings(active_when=active_when, when_silent=when_silent), closed)

    assert found == Judgement(active=closed is (active_when is ActiveWhen.CLOSED), cause=Cause.CONTACT)


@given(position=st.sampled_from([True, False, None]))
def test_switched_off_nothing_is_dimmed(position: bool | None) -> None:  # noqa: FBT001
    assert not judge(Settings(), position).active


@given(samples=st.lists(st.tuples(st.integers(0, 50_000), st.integers(1, 5_000), st.booleans()), min_size=1))
def test_the_mean_lies_between_the_least_and_the_greatest(samples: list[tuple[int, int, bool]]) -> None:
    drawn = Drawn()
    for power, for_ms, is_carried_out_now in samples:
        drawn = drawn.measured(Watt(power), for_ms=for_ms, is_carried_out_now=is_carried_out_now)

    powers = [power for power, _, _ in samples]
    assert drawn.greatest_w == max(powers)
    assert drawn.mean_w is not None
    assert min(powers) <= drawn.mean_w <= max(powers)
    assert drawn.greatest_carried_out_w == max((power for power, _, reached in samples if reached), default=None)


def test_a_car_at_its_least_current_carries_the_reduction_out_also_at_a_high_voltage() -> None:
    # 6 A at 243 V are 4,374 W.
    assert is_carried_out(settings(), Watt(4_374), MilliAmpere(18_000))
    assert not is_carried_out(settings(), Watt(4_400), MilliAmpere(18_400))
    assert is_carried_out(settings(), Watt(4_100), MilliAmpere(19_000))


def test_two_readings_before_and_after_a_standstill_do_not_agree_for_its_length() -> None:
    contact = Contact().read(closed=False, at_s=0.0).read(closed=False, at_s=0.5).read(closed=True, at_s=1.0)

    contact = contact.stood_still(1.1, 5.1).read(closed=True, at_s=5.2)
    assert contact.position(5.2) is False
    assert contact.read(closed=True, at_s=5.5).position(5.5) is True


def test_more_than_ten_seconds_without_a_reading_are_silence_however_often_the_station_stood_still() -> None:
    contact = Contact().read(closed=False, at_s=0.0).read(closed=False, at_s=0.5)
    for second in range(1, 30, 3):
        contact = contact.stood_still(float(second), second + 2.9)

    assert contact.position(14.0) is None
