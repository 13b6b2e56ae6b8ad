"""Small drawings as SVG: the numbers a template needs to draw them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ring:
    """A ring that is filled by a share, in per cent of its `pathLength` of 100."""

    filled: int

    @property
    def dashes(self) -> str:
        """Return the value of `stroke-dasharray`."""
        return f"{self.filled} 100"


def ring(part: float, whole: float) -> Ring:
    """Fill a ring by `part` of `whole`; more than the whole fills it."""
    return Ring(filled=round(100 * max(0.0, min(1.0, part / whole))) if whole > 0 else 0)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A line of the grid: where it is, and what stands beside it."""

    at: float
    value: float


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A curve with its grid, in units of the drawing; `line` and `area` are values of the attribute `d` of a path."""

    width: int
    height: int
    line: str
    area: str
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]


# Round distances between the lines of a time axis, in seconds.
_TIME_STEPS_S = (10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 28_800, 86_400)
_MOST_TIME_LINES = 6
_MOST_VALUE_LINES = 4


def stairs(steps: Sequence[tuple[float, float, float]], *, width: int, height: int) -> Plot:
    """Draw values that hold from a moment to another (seconds, seconds, value), on round axes from zero."""
    longest_s = max((until for _from, until, _value in steps), default=1.0) or 1.0
    value_step = _round_step(max((value for *_span, value in steps), default=0.0))
    highest = value_step * math.ceil(max((value for *_span, value in steps), default=0.0) / value_step) or value_step

    def x(seconds: float) -> float:
        return round(seconds / longest_s * width, 1)

    def y(value: float) -> float:
        return round(height - max(0.0, value) / highest * height, 1)

    corners = [f"{x(from_s)},{y(value)} {x(until_s)},{y(value)}" for from_s, until_s, value in steps]
    line = f"M{' L'.join(corners)}" if corners else ""
    time_step = next((step for step in _TIME_STEPS_S if longest_s / step <= _MOST_TIME_LINES), _TIME_STEPS_S[-1])
    return Plot(
        width=width,
        height=height,
        line=line,
        area=f"M0,{height} L{line[1:]} L{x(longest_s)},{height} Z" if line else "",
        across=tuple(Tick(at=x(at), value=at) for at in range(0, int(longest_s) + 1, time_step)),
        upwards=tuple(
            Tick(at=y(count * value_step), value=count * value_step) for count in range(round(highest / value_step) + 1)
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Several curves on one grid; `paths` are values of the attribute `d`, in the order of the curves."""

    width: int
    height: int
    paths: tuple[str, ...]
    across: tuple[Tick, ...]
    upwards: tuple[Tick, ...]


def lines(curves: Sequence[Sequence[tuple[float, float | None]]], *, span_s: float, width: int, height: int) -> Lines:
    """Draw curves of (seconds since the begin, value) on one round axis from zero; None is a gap."""
    highest_value = max((value or 0.0 for curve in curves for _at, value in curve), default=0.0)
    value_step = _round_step(highest_value)
    highest = value_step * math.ceil(highest_value / value_step) or value_step
    time_step = next((step for step in _TIME_STEPS_S if span_s / step <= _MOST_TIME_LINES), _TIME_STEPS_S[-1])

    def x(seconds: float) -> float:
        return round(seconds / span_s * width, 1)

    def y(value: float) -> float:
        return round(height - max(0.0, value) / highest * height, 1)

    def path(curve: Sequence[tuple[float, float | None]]) -> str:
        parts, is_drawing = [], False
        for at, value in curve:
            if value is not None:
                # Thousands of points: formatting is cheaper than rounding.
                up = height - max(0.0, value) / highest * height
                parts.append(f"{'L' if is_drawing else 'M'}{at / span_s * width:.1f},{up:.1f}")
            is_drawing = value is not None
        return " ".join(parts)

    return Lines(
        width=width,
        height=height,
        paths=tuple(path(curve) for curve in curves),
        across=tuple(Tick(at=x(at), value=at) for at in range(0, int(span_s) + 1, time_step)),
        upwards=tuple(
            Tick(at=y(count * value_step), value=count * value_step) for count in range(round(highest / value_step) + 1)
        ),
    )


def _round_step(highest: float) -> float:
    """Return the smallest of 1, 2, 5, 10, 20 … that needs few lines up to this value."""
    step = 1.0
    while True:
        for factor in (1, 2, 5):
            if highest <= step * factor * _MOST_VALUE_LINES:
                return step * factor
        step *= 10


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar filled from the left; `length` is the filled part in the drawing's units."""

    length: int


def bar(part: float, whole: float, *, length: int) -> Bar:
    """Fill a bar of `length` units by `part` of `whole`."""
    return Bar(length=round(length * max(0.0, min(1.0, part / whole))) if whole > 0 else 0)
