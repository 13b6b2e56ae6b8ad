"""Limits that others set, of whom each falls silent by itself."""

from collections.abc import Mapping
from typing import Protocol

from station.domain.limits import LimitSource
from station.domain.units import MilliAmpere


class LeasedLimits(Protocol):
    """Limits that somebody else sets and that change when he falls silent."""

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        """Return the limits of a charging point at this moment."""

    def next_change_s(self, now_s: float) -> float | None:
        """Return the moment at which one changes by itself; None: never."""
