"""Whatever arrives over a serial line, drivers give values or errors of their port, and recover (F14, F15)."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from hardware.drivers.eastron_sdm import EastronSdm
from hardware.drivers.elatec_twn4 import ElatecTwn4
from hardware.drivers.modbus_io import InputAssignment, ModbusIo
from hardware.drivers.phoenix_ev_cc import PhoenixEvCc
from hardware.links.serial_bus import BusSettings, SerialBus
from hardware.protocols.eastron import Holding, Quantity, encode_block, encode_u32
from hardware.protocols.phoenix import (
    COMMISSIONED,
    IDENTIFICATION_START,
    STATUS_START,
    IdentificationBlock,
    Setting,
    StatusBlock,
)
from hardware.protocols.twn4 import Command, FoundTag, Reply, TagType
from hardware.simulator.rtu import RtuSlave
from station.domain.faults import FaultCode
from station.domain.ports import DeviceFailed, LampColour, LampPattern, Pilot, ReaderSignal
from station.domain.units import MilliAmpere
from tests.fakes import VirtualLoop
from tests.process.serial_bench import Registers
from tests.reliability import world
from tests.reliability.fuzz import serial_lines
from tests.reliability.fuzz.modbus_answers import wrong_answer
from tests.reliability.fuzz.serial_lines import Line, disturbance

SMALL_DOSE = 3_000
BUS, READER = "/dev/bus", "/dev/reader"
CONTROLLER, METER, MODULE = 1, 2, 3
# Attempts, time-outs and waits for silence of the slowest driver's longest verb, generously.
LONGEST_VERB_S = 20.0
GROWTH_MIB = 25.0
REGISTER_KWH = 1234.5
UID = bytes.fromhex("04A2B3C4")

Verb = Callable[[], Awaitable[Any]]


class Rig:
    """Every driver on two lines, each with its true device behind."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        controller, meter, module = Registers(), Registers(), Registers()
        controller.input.update(enumerate(_identification().encode(), IDENTIFICATION_START))
        controller.holding.update(enumerate(_status().encode(), STATUS_START))
        controller.holding.update({int(setting): value for setting, value in COMMISSIONED.items()})
        controller.holding[Setting.CONTACTOR_MONITORING] = 1
        controller.coils.update(dict.fromkeys(range(400, 460), False))
        controller.coils.update(dict.fromkeys(range(20_000, 20_020), False))
        meter.input.update(enumerate(encode_block(_measured(), start=0, count=80)))
        meter.holding.update(enumerate(encode_u32(4711), Holding.SERIAL_NUMBER))
        meter.holding[Holding.TYPE_CODE] = 0
        slaves = [
            RtuSlave(address=address, registers=registers)
            for address, registers in ((CONTROLLER, controller), (METER, meter), (MODULE, module))
        ]
        self.bus_line = Line(
            lambda data: b"".join(each.receive(data, now_s=asyncio.get_running_loop().time()) for each in slaves)
        )
        self.reader_line = Line(_reader_answers)
        serial_lines.install(monkeypatch, {BUS: self.bus_line, READER: self.reader_line})
        bus = SerialBus(BusSettings(port=BUS))
        self.controller = PhoenixEvCc(bus, address=CONTROLLER)
        self.meter = EastronSdm(bus, address=METER)
        self.io = ModbusIo(
            bus, address=MODULE, inputs=[InputAssignment(input=0, code=FaultCode.GROUND_FAILURE, connector=1)]
        )
        self.reader = ElatecTwn4(READER)
        self.devices = (self.controller, self.meter, self.io, self.reader)

    def verbs(self, dice: random.Random) -> dict[str, Verb]:
        """What the control loop asks of its devices."""
        green = LampPattern(colour=LampColour.GREEN)
        return {
            "status": self.controller.read_status,
            "identify controller": self.controller.identify,
            "set current": lambda: self.controller.set_current(MilliAmpere(dice.choice((0, 6_000, 16_000, 32_000)))),
            "set enabled": lambda: self.controller.set_enabled(dice.random() < 0.5),
            "lock": self.controller.lock,
            "reading": self.meter.read,
            "identify meter": self.meter.identify,
            "inputs": self.io.read,
            "lamp": lambda: self.io.show(1, green),
            "cards": self.reader.poll,
            "signal": lambda: self.reader.signal(dice.choice(list(ReaderSignal))),
        }


@pytest.mark.parametrize("kind", ["serial bytes", "Modbus answers"])
def test_drivers_outlive_every_answer_and_tell_the_truth_again_when_the_line_is_good(
    *,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    seed: int,
    note: Callable[..., None],
) -> None:
    dose = request.config.getoption("--frames") or SMALL_DOSE
    dice = random.Random(seed)
    rig = Rig(monkeypatch)
    problems: list[str] = []
    outcomes: Counter[str] = Counter()
    memory: list[float] = []

    async def scenario() -> None:
        for device in rig.devices:
            await device.open()
        await _is_well(rig)
        verbs = rig.verbs(dice)
        names = list(verbs)
        if kind == "Modbus answers":
            names = [name for name in names if name not in {"cards", "signal"}]
        while rig.bus_line.damaged + rig.reader_line.damaged < dose and len(problems) < 20:
            damage = disturbance(dice, share=0.8)
            if kind == "Modbus answers":
                damage = lambda reply: wrong_answer(dice, reply)  # noqa: E731
            rig.bus_line.damage = rig.reader_line.damage = damage
            for name in dice.choices(names, k=40):
                outcomes[await _tried(name, verbs[name], problems)] += 1
            rig.bus_line.damage = rig.reader_line.damage = None
            await asyncio.sleep(3.0)
            try:
                await _is_well(rig)
            except (DeviceFailed, AssertionError) as error:
                problems.append(f"not well again: {error!r}")
            memory.append(world.rss_mib())
        for device in rig.devices:
            await device.close()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())

    damaged = rig.bus_line.damaged + rig.reader_line.damaged
    growth = memory[-1] - memory[len(memory) // 10]
    note(f"fuzz {kind}", seed=seed, frames=damaged, problems=len(problems), growth_mib=round(growth, 1), **outcomes)
    assert not problems, f"--seed {seed}:\n" + "\n".join(problems)
    assert growth < GROWTH_MIB


async def _tried(name: str, verb: Verb, problems: list[str]) -> str:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        result = await verb()
    except DeviceFailed as error:
        outcome = type(error).__name__
    except Exception as error:  # noqa: BLE001 - anything else is what is looked for
        problems.append(f"{name}: {error!r}")
        outcome = "crash"
    else:
        outcome = "answered"
        problems.extend(f"{name}: {path} is {value!r}" for path, value in _not_finite(result, name))
    if loop.time() - began_s > LONGEST_VERB_S:
        problems.append(f"{name} took {loop.time() - began_s:.1f} s")
    return outcome


def _not_finite(value: Any, path: str) -> list[tuple[str, Any]]:
    if isinstance(value, float) and not math.isfinite(value):
        return [(path, value)]
    if is_dataclass(value) and not isinstance(value, type):
        return [found for each in fields(value) for found in _not_finite(getattr(value, each.name), each.name)]
    if isinstance(value, tuple | list | frozenset):
        return [found for each in value for found in _not_finite(each, path)]
    return []


async def _is_well(rig: Rig) -> None:
    """Ask every device once, and compare with what is true. A meter that was misled says so until it is identified."""
    for attempt in range(3):
        try:
            status = await rig.controller.read_status()
            await rig.meter.identify()
            reading = await rig.meter.read()
            inputs = await rig.io.read()
            cards = await rig.reader.poll()
        except DeviceFailed:
            if attempt == 2:
                raise
            await asyncio.sleep(1.0)
        else:
            break
    assert status.pilot is Pilot.B
    assert abs(reading.import_energy - REGISTER_KWH * 1000) <= 1
    assert inputs.faults == {}
    assert [card.uid for card in cards] == [UID.hex()]


def _reader_answers(data: bytes) -> bytes:
    if Command.decode(data).function.name != "SEARCH_TAG":
        return Reply().encode()
    return Reply(result=FoundTag(type=TagType.MIFARE, id=UID, bits=32).encode()).encode()


def _identification() -> IdentificationBlock:
    return IdentificationBlock(
        order_designation="EV-CC-AC1-M3",
        order_number="1622459",
        serial_number="1234567890",
        hardware_id=1,
        hardware_version=1,
        firmware_letter="V",
        firmware_major=1,
        firmware_minor=12,
    )


def _status() -> StatusBlock:
    return StatusBlock(pilot=Pilot.B, pwm_on=False, cable_a=32, duty_percent=0, current_a=0)


def _measured() -> dict[Quantity, float]:
    return dict.fromkeys(Quantity, 230.0) | {Quantity.IMPORT_ENERGY: REGISTER_KWH, Quantity.FREQUENCY: 50.0}
