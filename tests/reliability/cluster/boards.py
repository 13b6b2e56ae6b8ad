"""A charging point's controller, and how a station writes to it: one command at a time, again until it is confirmed."""

import random
from collections.abc import Callable
from typing import Protocol

from tests.reliability.cluster.timeline import Clock, Timeline

_TIMEOUT_S = 1.5
_AGAIN_S = 1.0


class Witness(Protocol):
    """Who is told what happens at the boards."""

    def told(self, key: str, limit: int) -> None:
        """Take note that a board is being told a limit."""

    def taken(self, key: str, limit: int) -> None:
        """Take note that it holds it."""

    def dropped(self, key: str, limit: int) -> None:
        """Take note that it never heard it."""


class Board:
    """Holds the last limit it has taken, for ever: it has no watchdog. Commands are taken in their order."""

    def __init__(
        self, key: str, timeline: Timeline, dice: random.Random, witness: Witness, changed: Callable[[], None]
    ) -> None:
        self.key = key
        self.held = 0
        self.is_deaf = False
        self.delay_s = (0.02, 0.3)
        self._timeline = timeline
        self._dice = dice
        self._witness = witness
        self._changed = changed
        self._busy_until_s = 0.0
        self._powered = 0

    def tell(self, limit: int, answered: Callable[[], None]) -> None:
        """Tell a limit; the answer comes when it has been taken, or never."""
        self._witness.told(self.key, limit)
        powered = self._powered
        if self.is_deaf:
            self._timeline.after(_TIMEOUT_S, lambda: self._drop(limit, powered))
            return
        takes_s = max(self._busy_until_s, self._timeline.now_s) + self._dice.uniform(*self.delay_s)
        self._busy_until_s = takes_s
        self._timeline.at(takes_s, lambda: self._take(limit, powered, answered))

    def lose_power(self) -> None:
        """Come up again with nothing released."""
        self.held = 0
        self._powered += 1
        self._changed()

    def _take(self, limit: int, powered: int, answered: Callable[[], None]) -> None:
        if powered != self._powered:
            return
        self.held = limit
        self._witness.taken(self.key, limit)
        self._changed()
        answered()

    def _drop(self, limit: int, powered: int) -> None:
        if powered == self._powered:
            self._witness.dropped(self.key, limit)


class Writer:
    """A station's side of a board: the target, what has been confirmed and what may have been taken besides."""

    def __init__(self, board: Board, timeline: Timeline, clock: Clock, run: "Running") -> None:
        self._board = board
        self._timeline = timeline
        self._clock = clock
        self._run = run
        self.target = board.held
        self._confirmed = board.held
        self._tried: list[int] = []
        self._under_way = 0
        self._attempt = 0
        self.since_s = clock.now_s

    @property
    def held(self) -> int:
        """The most the board may hold."""
        return max([self._confirmed, *self._tried])

    def aim(self, target: int) -> None:
        """Make this limit real as soon as the board takes it."""
        self.target = target
        if not self._under_way and (self._tried or self._confirmed != target):
            self._write()

    def _write(self) -> None:
        self._attempt += 1
        self._under_way = attempt = self._attempt
        limit = self.target
        self._tried.append(limit)
        self._board.tell(limit, self._run.guard(lambda: self._answered(attempt, limit)))
        self._timeline.after(_TIMEOUT_S, self._run.guard(lambda: self._failed(attempt)))

    def _answered(self, attempt: int, limit: int) -> None:
        if attempt != self._under_way:
            return  # too late: what it holds is not known before a later command is confirmed
        self._under_way = 0
        if limit < self.held or self._tried != [limit]:
            self.since_s = self._clock.now_s
        self._confirmed, self._tried = limit, []
        self._run.board_answered()
        self.aim(self.target)

    def _failed(self, attempt: int) -> None:
        if attempt == self._under_way:
            self._under_way = 0
            self._timeline.after(_AGAIN_S, self._run.guard(lambda: self.aim(self.target)))


class Running(Protocol):
    """One run of a station's process."""

    def guard(self, act: Callable[[], None]) -> Callable[[], None]:
        """Do this act only while this run lives, and not while it is stopped."""

    def board_answered(self) -> None:
        """Think again: a board has confirmed a limit."""
