"""The network between the stations and the master: a link for each direction of each station."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from station.domain.cluster.messages import Grant, Report
from tests.reliability.cluster.timeline import Timeline

# As on the wire, or before it is encoded.
Message: TypeAlias = bytes | Report | Grant
_USUAL_DELAY_S = (0.001, 0.03)


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What a link does to its messages for a while."""

    loss: float = 0.0
    delay_s: tuple[float, float] = (0.0, 0.0)
    doubled: float = 0.0


CUT = Trouble(loss=1.0)


class Network:
    """Carries messages; `up`: from a station to the master."""

    def __init__(self, timeline: Timeline, dice: random.Random) -> None:
        self.sent = 0
        self.bytes_sent = 0
        self._timeline = timeline
        self._dice = dice
        self._troubles: defaultdict[tuple[str, bool], list[Trouble]] = defaultdict(list)

    def begin(self, station: str, trouble: Trouble, *, up: bool) -> None:
        """Let a link misbehave."""
        self._troubles[station, up].append(trouble)

    def end(self, station: str, trouble: Trouble, *, up: bool) -> None:
        """Heal it."""
        self._troubles[station, up].remove(trouble)

    def send(self, station: str, message: Message, deliver: Callable[[Message], None], *, up: bool) -> None:
        """Carry a message: not at all, once or several times, each time after a delay of its own."""
        self.sent += 1
        self.bytes_sent += len(message) if isinstance(message, bytes) else 0
        troubles, dice = self._troubles[station, up], self._dice
        if any(dice.random() < trouble.loss for trouble in troubles):
            return
        copies = 1 + sum(dice.random() < trouble.doubled for trouble in troubles)
        for _ in range(copies):
            delay_s = dice.uniform(*_USUAL_DELAY_S) + sum(dice.uniform(*trouble.delay_s) for trouble in troubles)
            self._timeline.after(delay_s, lambda: deliver(message))
