"""The day of the vendor's access, with clocks that jump and computers that restart."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from station.domain.stamps import Stamp
from station.domain.vendor_access import LONGEST, Opening

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR_MS = 3_600_000


def stamp(hours: float, *, jump: timedelta = timedelta(), boot: str = "one") -> Stamp:
    """Return a moment by its hours since the opening, with a wall clock that was set by `jump`."""
    return Stamp(at=AT + timedelta(hours=hours) + jump, boot_id=boot, steady_ms=round(hours * HOUR_MS))


OPENED = Opening(used=timedelta(), counted=stamp(0))


def test_it_is_open_for_a_day_and_not_longer():
    assert OPENED.left(stamp(0)) == LONGEST
    assert OPENED.left(stamp(23.5)) == timedelta(minutes=30)
    assert OPENED.left(stamp(24)) == timedelta()
    assert OPENED.left(stamp(100)) == timedelta()


def test_a_clock_that_is_set_makes_it_neither_longer_nor_shorter():
    for jump in (timedelta(days=-400), timedelta(days=400)):
        assert OPENED.left(stamp(6, jump=jump)) == timedelta(hours=18)


def test_a_restart_of_the_computer_keeps_what_was_used():
    counted = OPENED.count(stamp(10))
    after = Stamp(at=AT + timedelta(hours=11), boot_id="two", steady_ms=1000)

    assert counted.left(after) == timedelta(hours=13)


def test_a_clock_set_back_over_a_restart_gives_nothing_back():
    counted = OPENED.count(stamp(10))
    after = Stamp(at=AT - timedelta(days=400), boot_id="two", steady_ms=1000)
    later = Stamp(at=AT - timedelta(days=400) + timedelta(hours=14), boot_id="two", steady_ms=1000 + 14 * HOUR_MS)

    assert counted.left(after) == timedelta(hours=14)
    assert counted.count(after).left(later) == timedelta()


@given(
    st.lists(
        st.tuples(st.floats(0.01, 5), st.booleans(), st.integers(-(10**6), 10**6)),
        min_size=1,
        max_size=40,
    )
)
def test_whatever_the_clocks_do_it_never_stays_open_for_more_than_a_day_of_running(steps):
    opening, running_h, steady_h, boot, jump = OPENED, 0.0, 0.0, 0, timedelta()
    for hours, restarts, jump_s in steps:
        jump += timedelta(seconds=jump_s)
        if restarts:
            boot, steady_h = boot + 1, 0.0
        else:
            running_h += hours
            steady_h += hours
        wall = AT + timedelta(hours=running_h) + jump
        now = Stamp(at=wall, boot_id="one" if not boot else str(boot), steady_ms=round(steady_h * HOUR_MS))
        opening = opening.count(now)

        assert opening.left(now) <= max(timedelta(), LONGEST - timedelta(hours=running_h) + timedelta(seconds=1))
