"""The only place that asks the system for the time; everything else is told."""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Read the wall clock as an aware UTC moment: for stamps."""
    return datetime.now(UTC)


def monotonic_s() -> float:
    """Read the steady clock in seconds: for durations, time-outs and the age of values."""
    return time.monotonic()
