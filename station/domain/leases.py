"""A limit that somebody else sets is a lease: it holds while he is heard, and then a fallback holds."""

import math
from dataclasses import dataclass, replace
from typing import Self

from station.domain.units import MilliAmpere


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A limit that was lent: `value` (None: unlimited) until a moment of the monotonic clock, then `fallback`.

    Whoever sets it has not been heard yet: the moment lies before all others, so that the fallback holds from the
    first instant after a start.
    """

    fallback: MilliAmpere | None
    value: MilliAmpere | None = None
    until_s: float = -math.inf

    def is_held(self, now_s: float) -> bool:
        """Return whether the lender has been heard lately enough."""
        return now_s < self.until_s

    def limit_at(self, now_s: float) -> MilliAmpere | None:
        """Return the limit that holds; None: no limit."""
        return self.value if self.is_held(now_s) else self.fallback

    def remaining_s(self, now_s: float) -> float:
        """Return how long the value still holds without another sign of life."""
        return max(self.until_s - now_s, 0.0)

    def renewed(self, until_s: float) -> Self:
        """Hold the same value for longer; never for shorter."""
        return replace(self, until_s=max(self.until_s, until_s))

    def setting(self, value: MilliAmpere | None) -> Self:
        """Lend another value for the same time."""
        return replace(self, value=value)
