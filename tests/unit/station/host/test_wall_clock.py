"""Taking the backend's time."""

import time
from datetime import UTC, datetime

import pytest

from station.domain.moments import EARLIEST, LATEST
from station.host import wall_clock
from station.host.wall_clock import SystemClock


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the computer's clock was set to; nothing keeps it in time."""
    moments: list[float] = []
    monkeypatch.setattr(wall_clock, "_kernel_says_synchronised", lambda: False)
    monkeypatch.setattr(time, "clock_settime", lambda _clock, seconds: moments.append(seconds))
    return moments


def test_a_plausible_time_is_taken(taken: list[float]) -> None:
    at = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)

    assert SystemClock().set_from_backend(at)

    assert taken == [at.timestamp()]


@pytest.mark.parametrize("at", [EARLIEST, datetime(2025, 12, 31, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), LATEST])
def test_the_ends_of_a_backends_calendar_set_no_clock(taken: list[float], at: datetime) -> None:
    assert not SystemClock().set_from_backend(at)

    assert taken == []
