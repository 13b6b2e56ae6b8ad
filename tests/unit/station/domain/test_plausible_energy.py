"""Which energy registers can be true (issue: a jump from 1,234 to 998,877 kWh was accepted)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.plausible_energy import Plausibility, Register, highest_rise, judge
from station.domain.units import MilliAmpere, WattHour

RATING = MilliAmpere(32_000)


def register(energy_wh: int, at_s: float = 0.0, serial: str = "") -> Register:
    return Register(energy=WattHour(energy_wh), read_at_s=at_s, meter_serial=serial)


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (None, register(998_877_000), Plausibility.PLAUSIBLE),
        (register(1_234_000), register(998_877_000, 1.0), Plausibility.JUMPED),
        (register(1_234_000), register(1_234_000, 1.0), Plausibility.PLAUSIBLE),
        (register(1_234_000), register(1_233_999, 3_600.0), Plausibility.FELL),
        (register(1_234_000), register(1_256_080, 3_600.0), Plausibility.PLAUSIBLE),
        (register(1_234_000), register(1_300_000, 3_600.0), Plausibility.JUMPED),
        (register(1_000, serial="A"), register(1_010, 60.0, serial="B"), Plausibility.OTHER_METER),
        (register(1_000, serial="A"), register(500, 60.0, serial="B"), Plausibility.OTHER_METER),
        (register(1_000, serial="A"), register(1_010, 60.0), Plausibility.PLAUSIBLE),
        (register(1_000), register(1_010, 60.0, serial="B"), Plausibility.PLAUSIBLE),
        # A meter that counts in steps of 10 Wh, and readings that follow quickly.
        (register(1_000), register(1_010, 0.1), Plausibility.PLAUSIBLE),
    ],
)
def test_a_register_is_judged_by_the_one_before(
    before: Register | None, after: Register, verdict: Plausibility
) -> None:
    assert judge(before, after, rating=RATING) is verdict


@given(
    st.integers(6_000, 63_000),
    st.lists(st.tuples(st.floats(0.05, 3_600), st.floats(0, 1.2), st.floats(0.85, 1.1)), min_size=1, max_size=50),
)
def test_no_car_that_charges_within_the_tolerances_is_ever_refused(
    rating_ma: int, intervals: list[tuple[float, float, float]]
) -> None:
    energy_wh, at_s = 5_000.0, 100.0
    before = register(int(energy_wh), at_s)
    for seconds, load, voltage in intervals:
        at_s += seconds
        energy_wh += rating_ma / 1000 * load * 230 * voltage * 3 * seconds / 3600
        # Registers are read in whole steps of the meter.
        after = register(max(int(energy_wh) // 10 * 10, before.energy), at_s)

        assert judge(before, after, rating=MilliAmpere(rating_ma)) is Plausibility.PLAUSIBLE
        before = after


@given(st.integers(6_000, 63_000), st.floats(0, 86_400), st.integers(0, 10**9))
def test_nothing_above_rating_and_time_passes(rating_ma: int, seconds: float, excess_wh: int) -> None:
    before = register(1_000, 0.0)
    most = highest_rise(MilliAmpere(rating_ma), seconds)

    assert (
        judge(before, register(1_001 + most + excess_wh, seconds), rating=MilliAmpere(rating_ma)) is Plausibility.JUMPED
    )
    assert judge(before, register(1_000 + most, seconds), rating=MilliAmpere(rating_ma)) is Plausibility.PLAUSIBLE


@given(st.floats(-3_600, 0))
def test_a_time_that_runs_backwards_allows_no_more_than_the_margin(seconds: float) -> None:
    assert judge(register(0, 0.0), register(1_000, seconds), rating=RATING) is Plausibility.JUMPED
