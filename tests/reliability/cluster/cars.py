"""Cars: they follow the offered current late, draw on one, two or three phases and may wake more at any time."""

import random
from collections.abc import Callable, Mapping

from tests.reliability.cluster.timeline import Timeline

_FOLLOWS_S, _PAUSES_S = 5.0, 6.0


class Car:
    """Draws up to what it was offered, and what it was offered before for as long as the standard lets it."""

    def __init__(
        self,
        timeline: Timeline,
        dice: random.Random,
        *,
        current: int,
        phases: tuple[int, ...],
        drawn: Callable[[Mapping[int, int]], None],
    ) -> None:
        self.current = current
        self._timeline = timeline
        self._dice = dice
        self._phases = phases
        self._woken = dice.randint(1, len(phases))
        self._drawn = drawn
        self._offered = 0
        self._draw = 0
        # Every limit it was shown and has not followed yet, oldest first.
        self._offers: list[int] = []
        self._followed = 0
        self._is_here = True

    @property
    def flowing(self) -> int:
        """The highest phase current."""
        return self._draw if self._is_here else 0

    def offer(self, limit: int) -> None:
        """Show the car a new duty cycle."""
        self._offers.append(limit)
        self._offered = limit
        wanted = min(limit, self.current)
        late_s = 0.0 if wanted == self._draw else self._dice.uniform(0.1, _FOLLOWS_S if wanted else _PAUSES_S) - 0.01
        left = len(self._offers) + self._followed
        self._timeline.after(late_s, lambda: self._follow(left))

    def wake_rectifier(self) -> None:
        """Begin to draw on another phase."""
        if self._is_here and self._woken < len(self._phases):
            self._woken += 1
            self._tell()

    def vary(self) -> None:
        """Draw less than it may, or again everything: a battery that is nearly full, or heating."""
        if self._is_here and self._draw:
            self._draw = self._dice.randint(0, min(self._draw, self._offered))
            self._tell()

    def leave(self) -> None:
        """Drive away."""
        self._is_here = False
        self._drawn({})

    def _follow(self, number: int) -> None:
        """Draw no more than the highest of this offer, which was the so many-th, and those that came after it."""
        done = number - self._followed
        if not self._is_here or done <= 0:
            return
        since = self._offers[done - 1 :]
        self._followed += done - 1
        self._offers = since
        draw = min(since[-1], self.current) if len(since) == 1 else min(self._draw, max(since))
        if draw != self._draw:
            self._draw = draw
            self._tell()

    def _tell(self) -> None:
        self._drawn(dict.fromkeys(self._phases[: self._woken], self._draw) if self._draw else {})
