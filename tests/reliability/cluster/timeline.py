"""Virtual time, and the clocks of computers that do not agree about it."""

import heapq
import itertools
from collections.abc import Callable

Act = Callable[[], None]


class Timeline:
    """Acts in the order of their moments; two of the same moment in the order in which they were planned."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.acts_done = 0
        self._planned: list[tuple[float, int, Act]] = []
        self._numbers = itertools.count()

    def at(self, moment_s: float, act: Act) -> None:
        """Plan an act."""
        heapq.heappush(self._planned, (max(moment_s, self.now_s), next(self._numbers), act))

    def after(self, delay_s: float, act: Act) -> None:
        """Plan an act for later."""
        self.at(self.now_s + delay_s, act)

    def run(self, until_s: float) -> None:
        """Do everything that is planned up to a moment."""
        while self._planned and self._planned[0][0] <= until_s:
            self.now_s, _, act = heapq.heappop(self._planned)
            self.acts_done += 1
            act()
        self.now_s = until_s


class Clock:
    """The monotonic clock of one computer: it began somewhere and runs a little fast or slow."""

    def __init__(self, timeline: Timeline, *, began_s: float, rate: float) -> None:
        self._timeline = timeline
        self._began_s = began_s
        self.rate = rate

    @property
    def now_s(self) -> float:
        """What the clock shows."""
        return self._began_s + self._timeline.now_s * self.rate

    def true_s(self, shown_s: float) -> float:
        """Return the true moment at which the clock shows this."""
        return (shown_s - self._began_s) / self.rate
