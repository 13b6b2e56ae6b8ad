"""The bench that every driver of a meter has to pass, against the meter the simulator plays for it."""

import asyncio
import json

import pytest

from hardware.drivers.config import build, parse
from hardware.drivers.registry import METERS
from hardware.simulator.config import B23, OCMF, SDM630, SML, PlayedDevices, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from hardware.simulator.world import LineDevice, LineMode, VehicleChange
from station.domain.ports import DeviceFailed, DeviceSilent

pytestmark = pytest.mark.process

PLAYED = (SDM630, B23, OCMF, SML)
# The SDM72 are the SDM630 with fewer registers; their blocks are checked in tests/unit/hardware/drivers.
LIKE_ANOTHER = {"eastron_sdm72", "eastron_sdm72_v1"}
# For a busy machine; the slowest meter is waited for 5 s.
AT_MOST_S = 40.0


class Bench:
    """A simulated station with one charging point, whose meter is the one on trial."""

    def __init__(self, directory, driver):
        described = hardware_config(directory, 1, devices={1: PlayedDevices(meter=driver)})
        (directory / "hardware.json").write_text(json.dumps(described))
        self._settings = SimulatorSettings(directory=directory)
        self.meter = build(parse(described)).meters[1]
        self.simulator = Simulator(self._settings)

    @property
    def world(self):
        return self.simulator.world

    async def replug(self):
        await self.simulator.close()
        self.simulator = Simulator(self._settings)
        await self.simulator.open()

    def line(self, mode):
        self.world.set_line(1, LineDevice.METER, mode)

    async def charge(self):
        """Let a car draw 16 A from three phases, time passing quickly, and wait until the meter has counted."""
        board = self.world.points[1].board
        board.limit_a, board.release_coil = 16, True
        self.world.plug(1, VehicleChange(max_current_a=16, phases=3, ready=True), cable_a=32)
        self.world.set_speed(3600.0)
        async with asyncio.timeout(AT_MOST_S):
            while True:
                reading = await self.meter.read()
                # A meter that is read in several requests may have told one value while the car was beginning.
                draws = all(current is not None and current >= 15_500 for current in reading.currents)
                if draws and reading.import_energy and reading.power and reading.power > 10_500:
                    return reading

    async def failure(self, kind=DeviceFailed):
        async with asyncio.timeout(AT_MOST_S):
            while True:
                try:
                    await self.meter.read()
                except kind as error:
                    return error
                except DeviceFailed:
                    continue

    async def eventually(self, ask):
        async with asyncio.timeout(AT_MOST_S):
            while True:
                try:
                    return await ask()
                except DeviceFailed:
                    await asyncio.sleep(0.05)


def test_every_driver_of_a_meter_is_on_the_bench():
    assert set(PLAYED) | LIKE_ANOTHER == set(METERS)


@pytest.mark.parametrize("driver", PLAYED)
async def test_a_driver_of_a_meter_passes_the_bench(tmp_path, driver):
    bench = Bench(tmp_path, driver)
    # A port that is not there yet is told, and found when it comes.
    await bench.meter.open()
    assert await bench.failure(DeviceSilent)
    await bench.simulator.open()
    identity = await bench.eventually(bench.meter.identify)
    assert identity.vendor
    assert identity.serial

    # Units: Wh, W, mV, mA, mHz; and the moment the values arrived.
    asked_at_s = asyncio.get_running_loop().time()
    reading = await bench.charge()
    assert asked_at_s < reading.read_at_s <= asyncio.get_running_loop().time()
    assert all(voltage in range(225_000, 231_000) for voltage in reading.voltages)
    assert all(current in range(15_500, 16_100) for current in reading.currents)
    assert reading.power in range(10_500, 11_200)
    assert all(power in range(3_500, 3_750) for power in reading.phase_powers)
    assert reading.frequency == 50_000
    assert reading.export_energy == 0
    assert type(reading.import_energy) is int

    # Silence and noise are failures, and end.
    bench.line(LineMode.GARBAGE)
    assert await bench.failure()
    bench.line(LineMode.SILENT)
    assert await bench.failure(DeviceSilent)
    bench.line(LineMode.OK)
    after = await bench.eventually(bench.meter.read)
    assert after.import_energy >= reading.import_energy
    assert after.read_at_s > reading.read_at_s

    # An adapter that was pulled and is back under its name.
    await bench.replug()
    assert (await bench.eventually(bench.meter.identify)).serial == identity.serial
    assert (await bench.eventually(bench.meter.read)).import_energy >= after.import_energy
    await bench.meter.close()
    await bench.simulator.close()
