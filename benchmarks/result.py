"""One line of the table: what was measured, how it came out, and whether that is good enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, kw_only=True)
class Result:
    """A measured quantity beside its bar."""

    subject: str
    bar: str
    measured: str
    passed: bool

    @property
    def verdict(self) -> str:
        """Say in a word whether the bar is met."""
        return "met" if self.passed else "**missed**"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that so large a share of all does not exceed."""
    return sorted(values)[max(ceil(share * len(values)) - 1, 0)]


def latency(subject: str, values_s: Sequence[float], *, bar_ms: float) -> Result:
    """Judge durations by their 95th percentile."""
    middle, high, highest = (percentile(values_s, share) * 1000 for share in (0.5, 0.95, 1.0))
    return Result(
        subject=subject,
        bar=f"p95 ≤ {bar_ms:g} ms",
        measured=f"p50 {middle:.1f} · p95 {high:.1f} · max {highest:.1f} ms (n = {len(values_s)})",
        passed=high <= bar_ms,
    )


def at_most(subject: str, value: float, *, bar: float, unit: str, note: str = "") -> Result:
    """Judge one number that should be small."""
    return Result(
        subject=subject,
        bar=f"≤ {bar:g} {unit}",
        measured=f"{value:.2f} {unit}{f' ({note})' if note else ''}",
        passed=value <= bar,
    )


def at_least(subject: str, value: float, *, bar: float, unit: str, note: str = "") -> Result:
    """Judge one number that should be large."""
    return Result(
        subject=subject,
        bar=f"≥ {bar:g} {unit}",
        measured=f"{value:.0f} {unit}{f' ({note})' if note else ''}",
        passed=value >= bar,
    )
