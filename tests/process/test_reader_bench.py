"""The bench every driver of a card reader must pass, against its simulator on real pseudo-terminals."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.drivers.config import build, parse
from hardware.drivers.registry import READERS
from hardware.simulator.config import READER_PORT, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from station.domain.ports import DeviceFailed, ReaderSignal, Tag, TagReader

pytestmark = pytest.mark.process

PATIENCE_S = 20.0
# A card that each kind of reader can read.
CARDS = {"elatec_twn4": "04a2b3c4", "pn532": "04a2b3c4", "stx_etx": "1e00a5b9c3"}


@dataclass(kw_only=True)
class Bench:
    """A driver and the simulated reader at the other end."""

    card: str
    simulator: Simulator
    reader: TagReader

    async def until(self, shows: Callable[[Sequence[Tag]], bool]) -> Sequence[Tag]:
        """Poll like the control loop does until the reader shows something; failed polls count as not yet."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            tags: Sequence[Tag] | None
            try:
                tags = await self.reader.poll()
            except DeviceFailed:
                tags = None
            if tags is not None and shows(tags):
                return tags
            assert time.monotonic() < deadline_s, tags
            await asyncio.sleep(0.02)

    async def fails(self, ask: Callable[[], Awaitable[object]]) -> None:
        """Ask until a DeviceFailed comes."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            try:
                await ask()
            except DeviceFailed:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("no DeviceFailed")


@pytest.fixture(params=sorted(READERS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    config = hardware_config(tmp_path, 1, reader=request.param)
    (tmp_path / "hardware.json").write_text(json.dumps(config))
    simulator = Simulator(SimulatorSettings(directory=tmp_path, connectors=1))
    await simulator.open()
    ((_, reader),) = build(parse(config)).readers
    await reader.open()
    yield Bench(card=CARDS[request.param], simulator=simulator, reader=reader)
    await reader.close()
    await simulator.close()


async def test_a_card_is_told_while_it_lies_there_and_no_longer(bench: Bench) -> None:
    assert await bench.until(lambda _: True) == ()

    bench.simulator.world.swipe(bench.card, connector=None)

    (tag,) = await bench.until(bool)
    assert tag.uid == bench.card
    await bench.until(lambda tags: not tags)
    for signal in ReaderSignal:
        await bench.reader.signal(signal)


async def test_an_adapter_that_is_pulled_is_told_and_found_again(bench: Bench) -> None:
    await bench.until(lambda _: True)
    line = bench.simulator.line(READER_PORT)

    line.close()
    await bench.fails(bench.reader.poll)
    line.open()

    await bench.until(lambda tags: not tags)
    bench.simulator.world.swipe(bench.card, connector=None)
    (tag,) = await bench.until(bool)
    assert tag.uid == bench.card
