"""The invariant, checked by somebody who knows nothing of the product's bookkeeping.

What a point may draw at an instant is the highest of: what its board holds, what the board has been told and has not
taken yet, and what it held before, for the time a car has to follow (IEC 61851-1: 5 s, 6 s for a pause). The sum of
that over the points, on each phase, must not exceed the limit. It is checked whenever one of these changes, which is at
every instant: in between nothing changes.

One thing is set aside and counted by itself: what a board goes on with that takes no command while its station is out
of reach, too. The station knows it and can do nothing, the others could do something and do not know it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tests.reliability.cluster.timeline import Timeline

FOLLOWS_S, PAUSES_S = 5.0, 6.0


@dataclass
class Supply:
    """A limit that a group of points shares, on each phase, in mA; `total`: over all phases together."""

    name: str
    limit: int
    total: int | None = None
    # Limits of before that still excuse a sum, each until a moment.
    before: list[tuple[int, int | None, float]] = field(default_factory=list)
    may: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 3: 0})
    draw: dict[int, int] = field(default_factory=lambda: {1: 0, 2: 0, 3: 0})
    is_held_open: bool = False
    # What boards hold at this instant that take no command at stations nobody reaches.
    unknowable: Callable[[], int] = lambda: 0
    times_unknowable: int = 0
    highest_may: int = 0
    highest_draw: int = 0

    def set(self, limit: int, total: int | None, *, now_s: float, within_s: float) -> None:
        """Change the limit; a lower one has to be kept after so long."""
        self._prune(now_s)
        self.before.append((self.limit, self.total, now_s + within_s))
        self.limit, self.total = limit, total

    def hold_open(self, now_s: float) -> None:
        """Let the limits of before go on excusing: a board that hears nothing keeps the new one from being kept."""
        self._prune(now_s)
        self.is_held_open = True

    def close(self, now_s: float, *, until_s: float) -> None:
        """Let them excuse until a moment, since every board hears again."""
        self._prune(now_s)
        self.is_held_open = False
        self.before = [(limit, total, max(each, until_s)) for limit, total, each in self.before]

    def excess(self, sums: Mapping[int, int], now_s: float) -> int:
        """Return by how much sums per phase exceed what is allowed now."""
        self._prune(now_s)
        allowed = [(self.limit, self.total), *((limit, total) for limit, total, _ in self.before)]
        over = max(sums.values()) - max(limit for limit, _ in allowed)
        totals = [total for _, total in allowed if total is not None]
        if len(totals) == len(allowed):
            over = max(over, sum(sums.values()) - max(totals))
        if over <= 0 or not (unknowable := self.unknowable()):
            return over
        self.times_unknowable += over <= unknowable
        return over - unknowable

    def _prune(self, now_s: float) -> None:
        if not self.is_held_open and self.before:
            self.before = [each for each in self.before if each[2] > now_s]


@dataclass
class _Point:
    phases: tuple[int, ...]
    supplies: tuple[Supply, ...]
    held: int = 0
    told: list[int] = field(default_factory=list)
    before: list[tuple[int, float]] = field(default_factory=list)
    may: int = 0
    draws: dict[int, int] = field(default_factory=dict)


class Checker:
    """Follows boards and cars."""

    def __init__(self, timeline: Timeline, violated: Callable[[str], None]) -> None:
        self._timeline = timeline
        self._violated = violated
        self._points: dict[str, _Point] = {}
        # For a drawing: what each point may draw from a moment on, and what its car draws on its first phase.
        self.allowed: list[tuple[float, str, int]] = []
        self.drawn: list[tuple[float, str, int]] = []

    def add(self, key: str, phases: Iterable[int], supplies: Iterable[Supply]) -> None:
        """Watch a point that these supplies feed."""
        self._points[key] = _Point(phases=tuple(phases), supplies=tuple(supplies))

    def may(self, key: str) -> int:
        """Return what the point may draw."""
        return self._points[key].may

    def told(self, key: str, limit: int) -> None:
        """Take note that a board is being told a limit: from now on it may have it."""
        self._points[key].told.append(limit)
        self._recount(key)

    def taken(self, key: str, limit: int) -> None:
        """Take note that a board has taken the oldest limit it was told and that it holds it."""
        point, now_s = self._points[key], self._timeline.now_s
        point.told.remove(limit)
        if limit < point.held:
            until_s = now_s + (FOLLOWS_S if limit else PAUSES_S)
            point.before.append((point.held, until_s))
            self._timeline.at(until_s, lambda: self._recount(key))
        point.held = limit
        self._recount(key)

    def dropped(self, key: str, limit: int) -> None:
        """Take note that a board has not heard a limit it was told and never will."""
        self._points[key].told.remove(limit)
        self._recount(key)

    def switched_off(self, key: str) -> None:
        """Take note that the point has no power: nothing flows and nothing is held."""
        point = self._points[key]
        point.held, point.told, point.before = 0, [], []
        self._recount(key)

    def draws(self, key: str, current: Mapping[int, int]) -> None:
        """Take note of what a car really draws."""
        point = self._points[key]
        for supply in point.supplies:
            for phase in (1, 2, 3):
                supply.draw[phase] += current.get(phase, 0) - point.draws.get(phase, 0)
        raised = any(current.get(phase, 0) > point.draws.get(phase, 0) for phase in (1, 2, 3))
        point.draws = dict(current)
        self.drawn.append((self._timeline.now_s, key, current.get(point.phases[0], 0)))
        for supply in point.supplies:
            supply.highest_draw = max(supply.highest_draw, *supply.draw.values())
            if raised and (over := supply.excess(supply.draw, self._timeline.now_s)) > 0:
                self._violated(f"{supply.name}: cars draw {over} mA too much when {key} draws {dict(current)}")

    def look(self, supply: Supply) -> None:
        """Check a supply now: its limit has changed, or the excuse is over."""
        if (over := supply.excess(supply.may, self._timeline.now_s)) > 0:
            self._violated(f"{supply.name}: points may draw {over} mA more than {supply.limit}")

    def _recount(self, key: str) -> None:
        point, now_s = self._points[key], self._timeline.now_s
        point.before = [each for each in point.before if each[1] > now_s]
        may = max([point.held, *point.told, *(limit for limit, _ in point.before)])
        change = may - point.may
        if change == 0:
            return
        point.may = may
        self.allowed.append((now_s, key, may))
        for supply in point.supplies:
            for phase in point.phases:
                supply.may[phase] += change
            if change > 0:
                supply.highest_may = max(supply.highest_may, *supply.may.values())
                if (over := supply.excess(supply.may, now_s)) > 0:
                    self._violated(f"{supply.name}: points may draw {over} mA too much when {key} may draw {may} mA")
