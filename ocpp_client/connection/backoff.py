"""How long to wait before the next attempt to connect: full jitter under a doubling ceiling."""

from dataclasses import dataclass
from random import Random

STABLE_S = 60.0
# Nobody listens there: a probe costs the host one packet, and waiting long would only delay the return.
_PROBE_S = (1.0, 4.5)


@dataclass(kw_only=True)
class Backoff:
    """Counts failed attempts; randomness is handed in."""

    random: Random
    attempts: int = 0

    def next_delay_s(self, *, minimum_s: float, maximum_s: float, refused: bool = False) -> float:
        """Return the next waiting time; `refused`: the host is there and says that nobody listens."""
        ceiling = min(maximum_s, minimum_s * 2.0 ** min(self.attempts, 20))
        self.attempts += 1
        if refused and self.attempts > 1:
            low, high = (min(bound, maximum_s) for bound in _PROBE_S)
            return self.random.uniform(low, high)
        return self.random.uniform(0.0, ceiling)

    def ended(self, *, lasted_s: float) -> None:
        """Note the end of a connection: only one that was stable clears the count."""
        if lasted_s >= STABLE_S:
            self.attempts = 0
