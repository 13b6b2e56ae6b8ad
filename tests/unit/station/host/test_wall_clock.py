"""Taking the backend's time."""

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from station import clock
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


def test_a_plausible_time_is_taken(taken: list[float], tmp_path: Path) -> None:
    at = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)

    assert SystemClock(tmp_path / "set").set_from_backend(at)

    assert taken == [at.timestamp()]


def test_every_process_trusts_the_time_that_one_has_taken(taken: list[float], tmp_path: Path) -> None:
    assert not SystemClock(tmp_path / "set").is_trustworthy()

    SystemClock(tmp_path / "set").set_from_backend(datetime(2031, 5, 1, 12, 0, tzinfo=UTC))

    assert SystemClock(tmp_path / "set").is_trustworthy()


def test_the_time_of_an_earlier_boot_proves_nothing(taken: list[float], tmp_path: Path) -> None:
    (tmp_path / "set").write_text("another boot")

    assert not SystemClock(tmp_path / "set").is_trustworthy()


@pytest.mark.parametrize("at", [EARLIEST, datetime(2025, 12, 31, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC), LATEST])
def test_the_ends_of_a_backends_calendar_set_no_clock(taken: list[float], at: datetime, tmp_path: Path) -> None:
    assert not SystemClock(tmp_path / "set").set_from_backend(at)

    assert taken == []


def test_a_time_that_was_right_once_serves_schedules_until_the_computer_starts_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(clock, "now", lambda: datetime(2031, 5, 1, tzinfo=UTC))
    synchronised = [False]
    monkeypatch.setattr(wall_clock, "_kernel_says_synchronised", lambda: synchronised[0])
    assert not SystemClock(tmp_path / "set").has_been_right()
    synchronised[0] = True
    assert SystemClock(tmp_path / "set").has_been_right()

    # The time service has not been reached for hours, and the process is another one.
    synchronised[0] = False
    assert SystemClock(tmp_path / "set").has_been_right()
    assert not SystemClock(tmp_path / "set").is_trustworthy()

    monkeypatch.setattr(clock, "boot_id", lambda: "another boot")
    assert not SystemClock(tmp_path / "set").has_been_right()
