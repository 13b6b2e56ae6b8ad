"""The only place that asks the system for the time; everything else is told."""

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from station.domain.stamps import Stamp

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def now() -> datetime:
    """Read the wall clock as an aware UTC moment: for stamps."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Read the steady clock in seconds: for durations, time-outs and the age of values."""
    return time.monotonic()


@cache
def boot_id() -> str:
    """Read the identity of this start of the computer."""
    return _BOOT_ID.read_text().strip()


def stamp() -> Stamp:
    """Read all clocks: for what is recorded and may have to be corrected when the wall clock was wrong."""
    return Stamp(at=now(), boot_id=boot_id(), steady_ms=round(monotonic_s() * 1000))
