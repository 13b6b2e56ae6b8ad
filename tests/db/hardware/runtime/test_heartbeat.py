"""The control loop beats as long as it serves every point, and falls silent when something of it hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from hardware.runtime.heartbeat import BEAT_S, DATABASE_S, SERVED_S, BoardHeartbeats, LoopHeartbeat
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@dataclass
class Beats:
    """A supervisor that counts."""

    at_s: list[float] = field(default_factory=list)
    status: str = ""

    def beat(self, at_s: float) -> None:
        self.at_s.append(at_s)

    def serves(self, status: str) -> None:
        self.status = status

    def waits(self, status: str) -> None:
        raise AssertionError(status)

    async def in_the_next(self, seconds: float) -> int:
        before = len(self.at_s)
        await asyncio.sleep(seconds)
        return len(self.at_s) - before


@asynccontextmanager
async def heard(bench: ControlLoopBench) -> AsyncIterator[Beats]:
    beats = Beats()
    loop_heartbeat = LoopHeartbeat(
        beats,
        points=bench.control_loop.points.values(),
        database=bench.control_loop.database,
        status=bench.control_loop.told,
    )
    beating = asyncio.create_task(loop_heartbeat.run())
    yield beats
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


@in_virtual_time
async def test_the_loop_beats_every_second_while_cars_charge(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    async with heard(bench) as beats:
        assert await beats.in_the_next(30 * BEAT_S) >= 29
        assert beats.status == "controls 2 charging points"


@in_virtual_time
async def test_silent_devices_are_served_too(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    bench.hall.controllers[1].silent = bench.hall.meters[1].silent = bench.hall.controllers[2].silent = True

    async with heard(bench) as beats:
        assert await beats.in_the_next(90 * BEAT_S) >= 89


@in_virtual_time
async def test_the_loop_falls_silent_when_one_point_is_no_longer_served(bench: ControlLoopBench) -> None:
    async with heard(bench) as beats:
        bench.hall.controllers[2].hangs = True
        await asyncio.sleep(SERVED_S + 1)

        assert await beats.in_the_next(60) == 0
        bench.hall.controllers[2].hangs = False
        await asyncio.sleep(2)
        assert await beats.in_the_next(10) > 0


@in_virtual_time
async def test_the_end_of_a_session_at_a_car_that_takes_its_time_is_no_silence(bench: ControlLoopBench) -> None:
    await bench.charge(1, ends_s=60.0)

    async with heard(bench) as beats:
        bench.hall.reader.tap("04A2B3C4")

        assert await beats.in_the_next(20 * BEAT_S) >= 19


@in_virtual_time
async def test_a_locked_database_is_waited_for_and_a_hanging_one_is_not(bench: ControlLoopBench) -> None:
    async with heard(bench) as beats:
        bench.database.latency_s = 10.0
        locked = await beats.in_the_next(60)
        assert locked >= 50

        bench.database.latency_s = 3600.0
        await asyncio.sleep(10 + DATABASE_S + 1)
        assert await beats.in_the_next(60) == 0


@dataclass
class Board:
    """A board that wants a heartbeat at least every ten seconds."""

    heartbeat_s: float = 2.5
    at_s: list[float] = field(default_factory=list)

    async def beat(self) -> None:
        self.at_s.append(asyncio.get_running_loop().time())

    @property
    def longest_silence_s(self) -> float:
        times = [*self.at_s, asyncio.get_running_loop().time()]
        return max(later - earlier for earlier, later in pairwise(times))


@asynccontextmanager
async def board_on(bench: ControlLoopBench) -> AsyncIterator[Board]:
    board, loop = Board(), bench.control_loop
    beating = asyncio.create_task(BoardHeartbeats({1: board}, points=loop.points, database=loop.database).run(1))
    await asyncio.sleep(1)
    yield board
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating


@in_virtual_time
async def test_a_board_hears_its_heartbeat_in_time_also_while_the_database_is_locked(bench: ControlLoopBench) -> None:
    async with board_on(bench) as board:
        await bench.charge(1)
        bench.database.latency_s = 10.0

        await asyncio.sleep(120)

        assert board.longest_silence_s < 10


@in_virtual_time
async def test_a_board_hears_nothing_more_from_a_loop_that_hangs(bench: ControlLoopBench) -> None:
    async with board_on(bench) as board:
        bench.hall.controllers[2].hangs = True
        await asyncio.sleep(SERVED_S + 5)
        heard = len(board.at_s)

        await asyncio.sleep(60)
        assert len(board.at_s) == heard
        bench.hall.controllers[2].hangs = False
        await asyncio.sleep(5)
        assert len(board.at_s) > heard
