"""The control loop beats as long as it serves every point, and falls silent when something of it hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from hardware.runtime.heartbeat import BEAT_S, DATABASE_S, SERVED_S, LoopHeartbeat
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@dataclass
class Beats:
    """A supervisor that counts."""

    at_s: list[float] = field(default_factory=list)

    def beat(self, at_s: float) -> None:
        self.at_s.append(at_s)

    async def in_the_next(self, seconds: float) -> int:
        before = len(self.at_s)
        await asyncio.sleep(seconds)
        return len(self.at_s) - before


@asynccontextmanager
async def heard(bench: ControlLoopBench) -> AsyncIterator[Beats]:
    beats = Beats()
    loop_heartbeat = LoopHeartbeat(
        beats, points=bench.control_loop.points.values(), database=bench.control_loop.database
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
