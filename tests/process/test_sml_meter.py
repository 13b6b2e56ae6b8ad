"""The driver of meters that push, over a real pseudo-terminal."""

import asyncio
import contextlib
import json

import pytest

from hardware.drivers import sml_meter
from hardware.drivers.config import build, parse
from hardware.drivers.sml_meter import SmlMeter
from hardware.protocols.sml import Entry, Obis, Unit, encode
from hardware.simulator.config import SML, PlayedDevices, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from hardware.simulator.world import VehicleChange
from station.domain.ports import DeviceFailed, DeviceGarbled, DeviceSilent, ReadingUnusable
from tests.process.serial_bench import PtyDevice

pytestmark = pytest.mark.process

SERVER = bytes.fromhex("0a01454d480000bc614e")
POWER = Entry(obis=Obis.POWER, value=7_340, unit=Unit.WATT)


def told(energy_wh: int, *more: Entry, server: bytes = SERVER) -> bytes:
    energy = Entry(obis=Obis.IMPORT_ENERGY, value=energy_wh * 10 + 9, unit=Unit.WATT_HOUR, scaler=-1)
    return encode(server, [energy, POWER, *more])


class Pusher:
    """A meter that tells `telegram` again and again; the tests make it hasty."""

    def __init__(self, path):
        self.port = PtyDevice(path, lambda _data: b"")
        self.telegram = told(18_240)

    async def push(self):
        while True:
            await asyncio.sleep(0.02)
            with contextlib.suppress(OSError):
                self.port.send(self.telegram)


@pytest.fixture
async def pusher(tmp_path, monkeypatch):
    # What is measured here comes fifty times a second.
    monkeypatch.setattr(sml_meter, "FRESH_S", 0.0)
    pusher = Pusher(tmp_path / "meter")
    pusher.port.plug_in()
    pushing = asyncio.create_task(pusher.push())
    yield pusher
    pushing.cancel()
    pusher.port.unplug()


@pytest.fixture
async def meter(pusher):
    meter = SmlMeter(str(pusher.port.path))
    await meter.open()
    yield meter
    await meter.close()


async def eventually(ask):
    async with asyncio.timeout(20):
        while True:
            try:
                return await ask()
            except DeviceFailed:
                await asyncio.sleep(0.02)


async def failure(ask, kind):
    """Ask until it fails in this way."""
    async with asyncio.timeout(20):
        while True:
            try:
                await ask()
            except kind as error:
                return error
            except DeviceFailed:
                continue


async def test_a_telegram_is_a_reading_with_its_own_moment_and_what_is_missing_is_none(pusher, meter):
    loop = asyncio.get_running_loop()
    before_s = loop.time()

    reading = await meter.read()

    assert before_s < reading.read_at_s <= loop.time()
    assert (reading.import_energy, reading.power, reading.export_energy) == (18_240, 7_340, None)
    assert reading.voltages == reading.currents == reading.phase_powers == (None, None, None)


async def test_a_telegram_that_is_fresh_enough_is_given_again_with_the_same_moment(pusher, meter, monkeypatch):
    monkeypatch.setattr(sml_meter, "FRESH_S", 1000.0)
    reading = await meter.read()
    pusher.telegram = b""

    assert (await meter.read()).import_energy == reading.import_energy


async def test_the_number_of_a_meter_is_the_one_printed_on_it(pusher, meter):
    identity = await meter.identify()

    assert (identity.vendor, identity.serial, identity.public_key) == ("EMH", "1EMH0012345678", "")


@pytest.mark.parametrize(
    ("telegram", "kind"),
    [(b"", DeviceSilent), (b"\x55" * 40, DeviceGarbled), (told(18_241)[:-1] + b"\0", DeviceGarbled)],
)
async def test_silence_noise_and_a_wrong_checksum_are_no_reading(pusher, meter, monkeypatch, telegram, kind):
    monkeypatch.setattr(sml_meter, "LONGEST_SILENCE_S", 0.2)
    monkeypatch.setattr(sml_meter, "SILENCE_AGAIN_S", 0.2)
    await meter.read()
    pusher.telegram = telegram

    assert isinstance(await failure(meter.read, kind), kind)
    # It stays so: what was told before is not told again.
    with pytest.raises(kind):
        await meter.read()


async def test_an_adapter_that_is_unplugged_and_plugged_in_again_recovers(pusher, meter):
    await meter.read()
    waiting = asyncio.create_task(eventually(meter.read))

    pusher.port.unplug()
    assert await failure(meter.read, DeviceSilent)
    pusher.telegram = told(18_300)
    pusher.port.plug_in()

    async with asyncio.timeout(20):
        while (await eventually(meter.read)).import_energy != 18_300:
            pass
    await waiting


async def test_energy_that_falls_and_another_meter_on_the_line_are_noise_until_the_meter_is_identified_again(
    pusher, meter
):
    await meter.identify()
    await meter.read()

    voltage = Entry(obis=Obis.VOLTAGE_L1, value=2302, unit=Unit.VOLT, scaler=-1)
    pusher.telegram = told(18_000, voltage)
    fallen = await failure(meter.read, ReadingUnusable)
    assert fallen.phases.voltages == (230_200, None, None)

    pusher.telegram = told(18_000, server=bytes.fromhex("0a01454d480000bc614f"))
    while "another meter" not in str(await failure(meter.read, DeviceGarbled)):
        pass
    assert (await meter.identify()).serial == "1EMH0012345679"
    assert (await meter.read()).import_energy == 18_000


async def test_the_simulated_meter_tells_what_flows_beside_one_that_answers(tmp_path):
    described = hardware_config(tmp_path, 2, devices={1: PlayedDevices(meter=SML)})
    (tmp_path / "hardware.json").write_text(json.dumps(described))
    simulator = Simulator(SimulatorSettings(directory=tmp_path, connectors=2))
    await simulator.open()
    devices = build(parse(described))
    for meter in devices.meters.values():
        await meter.open()
    world = simulator.world
    for number, point in world.points.items():
        point.board.limit_a, point.board.release_coil = 16, True
        world.plug(number, VehicleChange(ready=True), cable_a=32)
    world.factor = 3600.0

    async with asyncio.timeout(60):
        while not (pushed := await devices.meters[1].read()).import_energy:
            pass
        answered = await devices.meters[2].read()

    assert answered.import_energy > 0
    assert all(current and current > 0 for current in pushed.currents)
    assert all(voltage for voltage in pushed.voltages)
    assert (await devices.meters[2].read()).import_energy >= answered.import_energy
    for meter in devices.meters.values():
        await meter.close()
    await simulator.close()
