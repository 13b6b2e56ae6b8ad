"""What the control loop reports to its supervisor and to boards: not that it runs, but that every point is served."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from station import clock
from station.concurrency import until_tick_s
from station.domain.ports import DeviceFailed, HeartbeatWanted
from station.host.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

BEAT_S = 1.0
# A controller is asked four times a second. Two silent boards on one line, each tried three times for every command,
# keep each other waiting for up to 6 s.
SERVED_S = 8.0
# SQLite gives up after 10 s (settings, `timeout`), and the loop goes on without records. What takes longer hangs in
# the storage.
DATABASE_S = 15.0
# A heartbeat that did not reach its board is tried again this soon.
_AGAIN_S = 0.5


class Served(Protocol):
    """A charging point as the heartbeat sees it."""

    number: int
    served_at_s: float


class DatabaseWork(Protocol):
    """The database thread as the heartbeat sees it."""

    busy_since_s: float | None


class LoopHeartbeat:
    """Beats once a second while nothing in the loop hangs; without beats the supervisor replaces the process."""

    def __init__(
        self,
        heartbeat: Heartbeat,
        *,
        points: Collection[Served],
        database: DatabaseWork | None,
        status: Callable[[], str],
    ) -> None:
        self._heartbeat = heartbeat
        self._status = status
        self._points = points
        self._database = database
        self._is_hanging = False

    async def run(self) -> None:
        """Beat for ever."""
        while True:
            self.step(clock.monotonic_s())
            await asyncio.sleep(until_tick_s(BEAT_S, clock.monotonic_s()))

    def step(self, now_s: float) -> None:
        """Beat once, unless something hangs; `status` is empty until the pages are told the present."""
        hanging = what_hangs(self._points, self._database, now_s)
        if hanging and not self._is_hanging:
            logger.error("the control loop hangs: %s", hanging)
        self._is_hanging = bool(hanging)
        if not hanging:
            self._heartbeat.beat(now_s)
            if status := self._status():
                self._heartbeat.serves(status)


class BoardHeartbeats:
    """Tells boards that want to hear it that the control loop works, and nothing when something of it hangs.

    A task beside the polls: a point that waits for the database is polled late, and must not lose its energy by that.
    """

    def __init__(
        self, boards: Mapping[int, HeartbeatWanted], *, points: Mapping[int, Served], database: DatabaseWork
    ) -> None:
        self.boards = boards
        self._points = points
        self._database = database
        self._is_hanging = False

    async def run(self, number: int) -> None:
        """Beat for ever."""
        board = self.boards[number]
        while True:
            is_heard = await self._step(board)
            await asyncio.sleep(board.heartbeat_s if is_heard else _AGAIN_S)

    async def _step(self, board: HeartbeatWanted) -> bool:
        hangs = what_hangs(self._points.values(), self._database, clock.monotonic_s())
        if hangs and not self._is_hanging:
            logger.error("the boards hear no heartbeat any more, because the control loop hangs: %s", hangs)
        self._is_hanging = bool(hangs)
        if hangs:
            return False
        try:
            await board.beat()
        except DeviceFailed as error:
            # The polls report a silent board.
            logger.debug("a heartbeat was not confirmed: %s", error)
            return False
        return True


def what_hangs(points: Collection[Served], database: DatabaseWork | None, now_s: float) -> str:
    """Return what of the control loop hangs, for the log; empty when nothing does."""
    busy_since_s = database.busy_since_s if database else None
    if busy_since_s is not None and now_s - busy_since_s >= DATABASE_S:
        return "the database does not come back"
    # A locked database holds a point up that has something to write; energy is withdrawn before that.
    until_s = now_s if busy_since_s is None else busy_since_s
    unserved = [point.number for point in points if until_s - point.served_at_s >= SERVED_S]
    return f"points {unserved} are not served" if unserved else ""
