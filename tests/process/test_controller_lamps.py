"""Lamps at the outputs of a controller: a Phoenix board on a pseudo-terminal switches what people see."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.drivers.config import build, parse
from hardware.simulator.config import USUAL, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from station.domain.ports import Devices, LampColour, LampPattern

pytestmark = pytest.mark.process

LAMP = {LampColour.GREEN: "OUT", LampColour.RED: "ERR", LampColour.BLUE: "CHG", LampColour.YELLOW: "CON"}
PATIENCE_S = 20.0


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    config = hardware_config(tmp_path, 1, devices={1: replace(USUAL, lamp=LAMP)})
    (tmp_path / "hardware.json").write_text(json.dumps(config))
    simulator = Simulator(SimulatorSettings(directory=tmp_path, connectors=1))
    await simulator.open()
    yield simulator
    await simulator.close()


async def opened(simulator: Simulator, *, commission: bool = True) -> Devices:
    data = json.loads((simulator.directory / "hardware.json").read_text())
    data["connectors"][0]["controller"]["commission"] = commission
    devices = build(parse(data))
    assert devices.io is not None
    await devices.controllers[1].open()
    await devices.io.open()
    return devices


async def close(devices: Devices) -> None:
    assert devices.io is not None
    await devices.io.close()
    await devices.controllers[1].close()


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


async def test_the_outputs_of_the_board_show_colour_and_blinks_and_are_given_again(simulator: Simulator) -> None:
    devices, lamp = await opened(simulator), simulator.world.lamps[1]
    assert devices.io is not None

    for colour in LAMP:
        await devices.io.show(1, LampPattern(colour=colour))
        await until(lambda colour=colour: lamp.colour is colour)

    await devices.io.show(1, LampPattern(colour=LampColour.RED, blinks=2))
    await until(lambda: lamp.blinks(now_s=time.monotonic()) == 2)
    assert lamp.blinking is LampColour.RED

    board = simulator.world.points[1].board
    await devices.io.show(1, LampPattern(colour=LampColour.GREEN))
    await until(lambda: lamp.colour is LampColour.GREEN)
    board.restart(now_s=simulator.world.now_s)
    await until(lambda: any(board.outputs.values()))
    assert (await devices.io.read()).lamp_problem == ""
    await close(devices)


async def test_a_board_whose_outputs_signal_something_else_is_told_with_its_register(simulator: Simulator) -> None:
    devices = await opened(simulator, commission=False)
    assert devices.io is not None

    await devices.io.show(1, LampPattern(colour=LampColour.RED))
    async with asyncio.timeout(PATIENCE_S):
        while not (problem := (await devices.io.read()).lamp_problem):
            await asyncio.sleep(0.02)

    assert "not configured for bus control: register 550" in problem
    assert "_events) holds " in problem
    await close(devices)
