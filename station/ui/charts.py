"""Small drawings as SVG: the numbers a template needs to draw them."""

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
class Bar:
    """A bar filled from the left; `length` is the filled part in the drawing's units."""

    length: int


def bar(part: float, whole: float, *, length: int) -> Bar:
    """Fill a bar of `length` units by `part` of `whole`."""
    return Bar(length=round(length * max(0.0, min(1.0, part / whole))) if whole > 0 else 0)
