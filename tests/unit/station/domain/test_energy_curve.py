"""The curve of a session's energy stays short, rises, and ends with the last register."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.energy_curve import MOST_POINTS, Curve, extended, steps


def grown(notes: list[tuple[float, int]]) -> Curve:
    curve: list[list[int]] = []
    elapsed_s, energy_wh = 0.0, 0
    for pause_s, more_wh in notes:
        elapsed_s, energy_wh = elapsed_s + pause_s, energy_wh + more_wh
        curve = extended(curve, elapsed_s, energy_wh) or curve
    return extended(curve, elapsed_s + 1, energy_wh, last=True) or curve


@given(st.lists(st.tuples(st.floats(0.1, 900), st.integers(0, 500)), max_size=400))
def test_a_curve_rises_stays_short_and_ends_with_the_last_register(notes: list[tuple[float, int]]) -> None:
    curve = grown(notes)

    assert len(curve) <= MOST_POINTS + 2
    assert all(early[0] < late[0] and early[1] <= late[1] for early, late in pairwise(curve))
    assert sum(each.power_w * (each.to_s - each.from_s) for each in steps(curve)) / 3600 == approx(curve, notes)


def approx(curve: Curve, notes: list[tuple[float, int]]) -> object:
    # Powers are whole watts: half a watt over the length of the session is lost to rounding.
    return pytest.approx(sum(more for _pause, more in notes), abs=1 + (curve[-1][0] / 3600 if curve else 0))


def test_a_night_of_notes_every_ten_seconds_keeps_its_shape() -> None:
    charging, waiting = [(10.0, 30)] * 1000, [(10.0, 0)] * 3000

    curve = grown(charging + waiting)

    assert MOST_POINTS / 2 <= len(curve) <= MOST_POINTS + 2
    powers = [each.power_w for each in steps(curve)]
    assert powers[:20] == [10_800] * 20
    assert powers[-20:] == [0] * 20


def test_a_clock_that_runs_back_adds_nothing() -> None:
    assert extended([[100, 50]], 90, 60) is None
    assert extended([[100, 50]], 100, 60, last=True) is None
    assert extended([[100, 50]], 200, 40) is None
