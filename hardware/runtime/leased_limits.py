"""Limits that others set, of whom each falls silent by itself: what several of them leave a charging point."""

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


class CombinedLimits:
    """All of several; each has sources of its own."""

    def __init__(self, *lenders: LeasedLimits) -> None:
        self._lenders = lenders

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        """Return the limits that all of them set."""
        limits: dict[LimitSource, MilliAmpere] = {}
        for lender in self._lenders:
            limits.update(lender.limits_of(number, now_s))
        return limits

    def next_change_s(self, now_s: float) -> float | None:
        """Return the moment at which the first of them changes by itself; None: never."""
        moments = (lender.next_change_s(now_s) for lender in self._lenders)
        return min((moment for moment in moments if moment is not None), default=None)
