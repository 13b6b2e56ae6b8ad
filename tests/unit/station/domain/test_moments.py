"""Moments on the wire."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.domain.moments import EARLIEST, LATEST, expiry_from_wire, from_wire, lenient, lenient_expiry, to_wire

ZONES = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def test_a_moment_is_written_in_utc_with_milliseconds() -> None:
    at = datetime(2026, 11, 20, 23, 58, 48, 123_999, tzinfo=timezone(timedelta(hours=1)))

    assert to_wire(at) == "2026-11-20T22:58:48.123Z"


@pytest.mark.parametrize(
    "text", ["2026-11-20T22:58:48Z", "2026-11-20T23:58:48+01:00", " 2026-11-20T22:58:48 ", "2026-11-20T22:58:48.000Z"]
)
def test_a_moment_is_read_as_utc(text: str) -> None:
    assert from_wire(text) == datetime(2026, 11, 20, 22, 58, 48, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01T00:00:00Z", "2026-11-20T25:00:00Z", "0000-00-00T00:00:00Z"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller says what is wrong
        from_wire(text)
    assert lenient(text) is None


@pytest.mark.parametrize("nothing", [None, 5, [], {"at": "2026-11-20T22:58:48Z"}])
def test_what_is_no_text_is_no_moment(nothing: object) -> None:
    assert lenient(nothing) is None


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("0001-01-01T00:00:00+01:00", EARLIEST),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("9999-12-31T23:59:59-05:00", LATEST),
        ("9999-12-31T23:59:59.999Z", LATEST),
    ],
)
def test_a_date_at_the_edge_of_the_calendar_is_as_early_or_late_as_possible(text: str, bound: datetime) -> None:
    assert from_wire(text) == bound


@given(st.datetimes(timezones=ZONES))
def test_every_moment_that_can_be_written_can_be_read_shown_in_any_zone_and_written_again(at: datetime) -> None:
    read = from_wire(at.isoformat())

    assert EARLIEST <= read <= LATEST
    for zone in ("Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        assert read.astimezone(ZoneInfo(zone)) == read
    assert abs(from_wire(to_wire(read)) - read) < timedelta(milliseconds=1)


@given(st.text() | st.none() | st.integers())
def test_no_text_can_make_the_lenient_reader_fail(text: object) -> None:
    lenient(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+01:00", "", " "])
def test_the_empty_date_of_a_backend_is_no_expiry(text: str) -> None:
    assert expiry_from_wire(text) is None
    assert lenient_expiry(text) is None


def test_any_other_expiry_counts_as_it_stands() -> None:
    assert expiry_from_wire("2026-01-01T00:00:00") == datetime(2026, 1, 1, tzinfo=UTC)
    assert expiry_from_wire("9999-12-31T23:59:59-05:00") == LATEST
    assert lenient_expiry("tomorrow") is None
    assert lenient_expiry(20_260_101) is None
    with pytest.raises(ValueError, match="tomorrow"):
        expiry_from_wire("tomorrow")
