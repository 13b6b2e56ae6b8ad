"""Quantities as people read them, in both languages."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from station.ui import charts
from station.ui import format as formats

GAP = "\N{NO-BREAK SPACE}"
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ["16 A", "15.8 A", "10.88 kW", "18.24 kWh", "230.4 V", "–", "20 Nov 2026, 13:05"]),
        ("de", ["16 A", "15,8 A", "10,88 kW", "18,24 kWh", "230,4 V", "–", "20.11.2026, 13:05"]),
    ],
)
def test_quantities_follow_the_language(language: str, expected: list[str]):
    with translation.override(language):
        said = [
            formats.ampere(16_000),
            formats.ampere(15_800),
            formats.kilowatt(10_880),
            formats.kilowatt_hours(18_240),
            formats.volt(230_400),
            formats.ampere(None),
            formats.moment(datetime(2026, 11, 20, 12, 5, tzinfo=UTC), BERLIN),
        ]

    assert [text.replace(GAP, " ") for text in said] == expected


@given(st.integers(min_value=0, max_value=10**9))
def test_a_meter_register_with_three_decimals_loses_nothing(energy_wh: int):
    with translation.override("en"):
        said = formats.kilowatt_hours(energy_wh, decimals=3)

    assert round(float(said.split(GAP)[0].replace(",", "")) * 1000) == energy_wh


@given(st.integers(min_value=0, max_value=10**7))
def test_a_duration_counts_every_second(seconds: int):
    hours, minutes, rest = map(int, formats.duration(seconds).split(":"))

    assert hours * 3600 + minutes * 60 + rest == seconds


@pytest.mark.parametrize(("seconds", "said"), [(1, "1 second"), (30, "30 seconds"), (119, "119 seconds")])
def test_short_waits_are_said_in_seconds(seconds: int, said: str):
    with translation.override("en"):
        assert formats.wait(seconds) == said


def test_long_waits_are_said_in_minutes_rounded_up():
    with translation.override("de"):
        assert formats.wait(121) == "3 Minuten"


def test_a_card_is_shown_by_its_beginning():
    assert (formats.card("04A2B3C4"), formats.card("04A2"), formats.card("")) == ("04A2…", "04A2", "")


@given(st.integers(min_value=-(10**6), max_value=10**6), st.integers(min_value=-10, max_value=10**6))
def test_a_ring_is_never_filled_beyond_its_ends(part: int, whole: int):
    assert 0 <= charts.ring(part, whole).filled <= 100
    assert 0 <= charts.bar(part, whole, length=44).length <= 44
