"""How the energy of a session has grown: few enough points for a drawing, however long the session lasts.

A curve is a list of pairs (whole seconds since the begin, Wh since the begin), both never falling. It is kept beside
the session and written together with its register, so that it costs no write of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

# The register is written down so often while a car charges (`hardware.runtime.session`).
_SHORTEST_INTERVAL_S = 10
MOST_POINTS = 240
_SECONDS_PER_HOUR = 3600

Curve = Sequence[Sequence[int]]


@dataclass(frozen=True, kw_only=True)
class PowerStep:
    """The mean power between two points of a curve."""

    from_s: int
    to_s: int
    power_w: int


def extended(curve: Curve, elapsed_s: float, energy_wh: int, *, last: bool = False) -> list[list[int]] | None:
    """Return the curve with one more point; None where it is not due yet, or where time or energy ran backwards.

    With time the points stand further apart, and those in between are dropped. The last one is always due.
    """
    elapsed = int(elapsed_s)
    before_s, before_wh = curve[-1] if curve else (0, 0)
    interval_s = _interval(elapsed)
    if elapsed <= before_s or energy_wh < before_wh or (not last and elapsed - before_s < interval_s):
        return None
    return [*_thinned(curve, interval_s), [elapsed, energy_wh]]


def steps(curve: Curve) -> tuple[PowerStep, ...]:
    """Return the mean powers between the points, the begin included."""
    points = [(0, 0), *((seconds, energy) for seconds, energy in curve)]
    return tuple(
        PowerStep(
            from_s=from_s, to_s=to_s, power_w=round((to_wh - from_wh) * _SECONDS_PER_HOUR / max(1, to_s - from_s))
        )
        for (from_s, from_wh), (to_s, to_wh) in pairwise(points)
    )


def _interval(elapsed_s: int) -> int:
    interval_s = _SHORTEST_INTERVAL_S
    while elapsed_s > interval_s * MOST_POINTS:
        interval_s *= 2
    return interval_s


def _thinned(curve: Curve, interval_s: int) -> list[list[int]]:
    kept: list[list[int]] = []
    for seconds, energy in curve:
        # The interval has just doubled where this drops anything; a point that came late does not shift the rest.
        if not kept or seconds // interval_s > kept[-1][0] // interval_s:
            kept.append([seconds, energy])
    return kept
