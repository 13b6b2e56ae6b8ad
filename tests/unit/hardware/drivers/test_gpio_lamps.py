"""Lamps at GPIO lines: what is lit when, and what is said where there is no chip."""

import asyncio
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hardware.drivers.config import HardwareConfigInvalid, build, parse
from hardware.drivers.gpio_lamps import GpioLamps, LampLines
from hardware.drivers.lamp import IoWithLamps
from station.domain.ports import DeviceRefused, LampColour, LampPattern
from tests.fakes import FakeIo

LINES = {LampColour.GREEN: 17, LampColour.RED: 22}


class FakeOutputs:
    def __init__(self) -> None:
        self.lit: dict[int, bool] = {}
        self.blinks = 0
        self.released = False
        self.broken = False

    def take(self, _chip: str, _lines: Sequence[int], *, active_low: bool) -> "FakeOutputs":
        assert not active_low
        return self

    def switch(self, lit: Mapping[int, bool]) -> None:
        if self.broken:
            raise OSError(19, "No such device")
        self.blinks += lit[22] and not self.lit.get(22, False)
        self.lit |= lit

    def release(self) -> None:
        self.released = True


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_lamp_shows_one_colour_and_blinks_with_it():
    outputs = FakeOutputs()
    lamps = GpioLamps("/dev/gpiochip0", [LampLines(connector=1, lines=LINES)], take=outputs.take)
    await lamps.open()
    await lamps.show(1, LampPattern(colour=LampColour.GREEN))
    await until(lambda: outputs.lit == {17: True, 22: False})

    await lamps.show(1, LampPattern(colour=LampColour.RED, blinks=2))
    await until(lambda: outputs.blinks == 2)
    assert not outputs.lit[17]
    # No line is wired for blue, and there is no third lamp.
    await lamps.show(1, LampPattern(colour=LampColour.BLUE))
    await until(lambda: outputs.lit == {17: False, 22: False})
    await lamps.show(3, LampPattern(colour=LampColour.BLUE))

    await lamps.close()
    assert outputs.released


async def test_without_a_chip_it_is_said_which_one_is_missing(monkeypatch: pytest.MonkeyPatch):
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    lamps = GpioLamps("/dev/gpiochip7", [LampLines(connector=1, lines=LINES)], take=missing)
    with pytest.raises(DeviceRefused, match="no GPIO chip /dev/gpiochip7"):
        await lamps.open()
    with pytest.raises(DeviceRefused):
        await lamps.show(1, LampPattern(colour=LampColour.RED))


async def test_the_package_itself_misses_the_chip():
    with pytest.raises(DeviceRefused, match="no GPIO chip /dev/no-gpiochip"):
        await GpioLamps("/dev/no-gpiochip", [LampLines(connector=1, lines=LINES)]).open()


async def test_without_the_package_it_is_named(monkeypatch: pytest.MonkeyPatch):
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(DeviceRefused, match="package gpiod"):
        await GpioLamps("/dev/gpiochip0", [LampLines(connector=1, lines=LINES)]).open()


async def test_contacts_of_a_module_are_read_beside_lamps_at_gpio_lines():
    outputs, module = FakeOutputs(), FakeIo()
    lamps = GpioLamps("/dev/gpiochip0", [LampLines(connector=1, lines=LINES)], take=outputs.take)
    for inputs in (module, None):
        io = IoWithLamps(inputs, lamps)
        await io.open()
        assert (await io.read()).faults == {}
        await io.close()


async def test_a_chip_that_is_gone_is_told_with_each_reading_until_it_is_back():
    outputs = FakeOutputs()
    lamps = GpioLamps("/dev/gpiochip0", [LampLines(connector=1, lines=LINES)], take=outputs.take)
    io = IoWithLamps(None, lamps)
    await io.open()
    await io.show(1, LampPattern(colour=LampColour.GREEN))
    await until(lambda: outputs.lit == {17: True, 22: False})
    assert (await io.read()).lamp_problem == ""

    outputs.broken = True
    await io.show(1, LampPattern(colour=LampColour.RED))
    await until(lambda: lamps.problem)
    assert (await io.read()).lamp_problem == "the lines of /dev/gpiochip0 cannot be switched: No such device"

    outputs.broken = False
    await io.show(1, LampPattern(colour=LampColour.GREEN))
    await until(lambda: not lamps.problem)
    await io.close()


async def test_lamps_that_cannot_be_opened_leave_the_contacts_alone():
    def missing(*_: Any, **__: Any) -> Any:
        raise FileNotFoundError

    io = IoWithLamps(FakeIo(), GpioLamps("/dev/gpiochip7", [LampLines(connector=1, lines=LINES)], take=missing))
    await io.open()

    assert "no GPIO chip /dev/gpiochip7" in (await io.read()).lamp_problem


def described(*lamps: Any, **more: Any) -> dict[str, Any]:
    board = {"driver": "phoenix_ev_cc", "port": "/dev/ttyS1", "address": 1}
    meter = {"driver": "eastron_sdm630", "port": "/dev/ttyS2", "address": 1}
    return {"connectors": [{"controller": board, "meter": meter}], "lamps": {"lines": list(lamps), **more}}


def test_the_hardware_configuration_names_chip_and_lines():
    config = parse(described({"connector": 1, "green": 17, "red": 22}, chip="/dev/gpiochip1"))

    assert isinstance(build(config).io, IoWithLamps)


@pytest.mark.parametrize(
    ("lamp", "where"),
    [
        ({"green": 17}, "lamps.lines[0].connector"),
        ({"connector": 2, "green": 17}, "lamps.lines[0].connector"),
        ({"connector": 1, "green": "17"}, "lamps.lines[0].green"),
        ({"connector": 1, "violet": 17}, "lamps.lines[0].violet"),
        ({"connector": 1, "green": 17, "red": 17}, "lamps.lines[0]"),
    ],
)
def test_a_mistake_in_the_lines_is_named(lamp: dict[str, Any], where: str):
    with pytest.raises(HardwareConfigInvalid) as caught:
        parse(described(lamp))

    assert [problem.where for problem in caught.value.problems] == [where]


@pytest.mark.parametrize("wired", ["lines", "outputs"])
def test_two_lamps_of_one_charging_point_are_refused(wired: str):
    first, second = ({"green": 17}, {"red": 22}) if wired == "lines" else ({"green": "OUT"}, {"red": "ERR"})
    data = described() | {"lamps": {wired: [{"connector": 1, **first}, {"connector": 1, **second}]}}
    with pytest.raises(HardwareConfigInvalid) as caught:
        parse(data)

    (problem,) = caught.value.problems
    assert (problem.where, problem.text) == (f"lamps.{wired}[1].connector", "charging point 1 has a lamp already")


@pytest.mark.parametrize(
    ("lamp", "where"),
    [
        ({"green": "OUT"}, "lamps.outputs[0].connector"),
        ({"connector": 2, "green": "OUT"}, "lamps.outputs[0].connector"),
        ({"connector": 1, "green": "LED"}, "lamps.outputs[0].green"),
        ({"connector": 1, "green": "OUT", "red": "OUT"}, "lamps.outputs[0]"),
    ],
)
def test_a_mistake_in_the_outputs_is_named(lamp: dict[str, Any], where: str):
    with pytest.raises(HardwareConfigInvalid) as caught:
        parse(described() | {"lamps": {"outputs": [lamp]}})

    assert [problem.where for problem in caught.value.problems] == [where]


def test_a_controller_without_outputs_is_refused_with_those_that_have_some():
    data = described() | {"lamps": {"outputs": [{"connector": 1, "red": "ERR"}]}}
    data["connectors"][0]["controller"] |= {"driver": "abl_evcc", "baudrate": 38400, "parity": "E"}
    with pytest.raises(HardwareConfigInvalid) as caught:
        parse(data)

    (problem,) = caught.value.problems
    assert problem.text.endswith("abl_evcc has no outputs for a lamp; flashable_ev_cc, phoenix_ev_cc have")
