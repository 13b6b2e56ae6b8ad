"""Stamps of a clock that was wrong get their true moment back; those of a right one stay."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from station.domain.stamps import TOLERANCE, Stamp, corrected, true_boots

BOOTED = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR_MS = 3_600_000


def stamp(steady_ms: int, *, error: timedelta = timedelta(), boot: str = "now", booted: datetime = BOOTED) -> Stamp:
    return Stamp(at=booted + timedelta(milliseconds=steady_ms) + error, boot_id=boot, steady_ms=steady_ms)


def repaired(stamps: list[Stamp], now: Stamp) -> list[datetime]:
    boots = true_boots(stamps, now)
    return [corrected(each, boots).at for each in stamps]


STEADY = st.integers(0, 30 * 24 * HOUR_MS)
ERRORS = st.timedeltas(timedelta(days=-20_000), timedelta(days=2_000))


@given(st.lists(st.tuples(STEADY, ERRORS), max_size=8))
def test_of_this_boot_every_stamp_becomes_true_whatever_the_clock_said(made: list[tuple[int, timedelta]]) -> None:
    stamps = [stamp(steady_ms, error=error) for steady_ms, error in made]
    now = stamp(31 * 24 * HOUR_MS)

    for each, at in zip(stamps, repaired(stamps, now), strict=True):
        assert abs(at - stamp(each.steady_ms or 0).at) <= TOLERANCE


@given(st.lists(STEADY, max_size=8), st.lists(STEADY, max_size=8))
def test_what_was_right_stays_as_it_is(before: list[int], after: list[int]) -> None:
    earlier = BOOTED - timedelta(days=40)
    stamps = [stamp(each, boot="before", booted=earlier) for each in sorted(before)]
    stamps += [stamp(each) for each in sorted(after)]

    assert repaired(stamps, stamp(31 * 24 * HOUR_MS)) == [each.at for each in stamps]


@given(st.lists(STEADY, min_size=1, max_size=8), st.timedeltas(timedelta(days=-20_000), timedelta(days=-400)))
def test_an_earlier_boot_whose_clock_was_never_set_ends_where_this_one_began(made: list[int], error: timedelta) -> None:
    stamps = [stamp(each, boot="before", error=error) for each in sorted(made)]
    moments = repaired(stamps, stamp(HOUR_MS))

    assert moments == sorted(moments)
    assert moments[-1] == BOOTED
    for first, second, one, two in zip(stamps, stamps[1:], moments, moments[1:], strict=False):
        assert two - one == timedelta(milliseconds=(second.steady_ms or 0) - (first.steady_ms or 0))


@given(st.lists(st.tuples(st.sampled_from("abc"), STEADY, ERRORS), max_size=12), st.integers(0, 10**9))
def test_whatever_the_clocks_said_nothing_of_it_lies_in_the_future(
    made: list[tuple[str, int, timedelta]], steady_ms: int
) -> None:
    stamps = [stamp(ms, boot=boot, error=error) for boot, ms, error in sorted(made, key=lambda each: each[:2])]
    now = stamp(steady_ms)
    boots = true_boots(stamps, now)
    once = [corrected(each, boots) for each in stamps]

    assert all(each.at <= max(now.at, BOOTED) + TOLERANCE for each in once)


def test_a_clock_that_was_set_during_an_earlier_boot_corrects_what_that_boot_said_before() -> None:
    earlier = BOOTED - timedelta(hours=9)
    stamps = [
        stamp(1_000, boot="before", booted=earlier, error=timedelta(days=-300)),
        stamp(HOUR_MS, boot="before", booted=earlier),
    ]

    assert repaired(stamps, stamp(5_000)) == [earlier + timedelta(seconds=1), earlier + timedelta(hours=1)]


def test_a_clock_that_fell_back_behind_what_was_told_before_was_wrong() -> None:
    first = stamp(HOUR_MS, boot="a", booted=BOOTED - timedelta(hours=5))
    # It began with the time a file had kept: days old, but not impossible by itself.
    second = stamp(60_000, boot="b", booted=BOOTED - timedelta(hours=3), error=timedelta(days=-2))

    assert repaired([first, second], stamp(5_000)) == [first.at, BOOTED]


def test_a_stamp_without_a_steady_time_stays() -> None:
    old = Stamp(at=datetime(1970, 1, 1, tzinfo=UTC))

    assert repaired([old], stamp(5_000)) == [old.at]
    assert true_boots([stamp(1)], Stamp(at=BOOTED)) == {}


def test_time_that_has_passed_is_told_by_the_steady_clock_within_a_boot() -> None:
    assert stamp(5_000, error=timedelta(days=3)).since(stamp(1_000)) == timedelta(seconds=4)
    assert stamp(0).since(stamp(0, boot="before", booted=BOOTED - timedelta(hours=1))) == timedelta(hours=1)
