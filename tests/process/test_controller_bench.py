"""The bench every driver of an EVSE controller must pass, against its simulator on real pseudo-terminals.

A new driver is in the bench by its line in the registry; `docs/drivers.md` explains each test.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from hardware.drivers.config import build, parse
from hardware.drivers.registry import CONTROLLERS
from hardware.simulator.config import PlayedDevices, hardware_config
from hardware.simulator.main import Simulator
from hardware.simulator.point import ChargingPoint
from hardware.simulator.settings import SimulatorSettings
from hardware.simulator.world import LineDevice, LineMode, VehicleChange
from station.domain.faults import FaultCode
from station.domain.ports import ControllerStatus, DeviceFailed, DeviceRefused, EvseController, HeartbeatWanted, Pilot
from station.domain.units import PAUSE, MilliAmpere

pytestmark = pytest.mark.process

# For a busy machine; what is waited for here takes milliseconds.
PATIENCE_S = 20.0
# What a driver may need at most to say that its device is silent: three attempts of a quarter of a second, and room.
SILENT_WITHIN_S = 8.0
LIMIT, LOWER = MilliAmpere(16_000), MilliAmpere(10_000)


@dataclass(kw_only=True)
class Bench:
    """A driver, and the simulated charging point it controls."""

    driver: str
    simulator: Simulator
    controller: EvseController
    skipped_s: list[float]
    is_alive: bool = True

    @property
    def point(self) -> ChargingPoint:
        return self.simulator.world.points[1]

    def another(self) -> EvseController:
        """Make a driver that knows nothing, as after a restart of the software."""
        played = {1: PlayedDevices(controller=self.driver)}
        return build(parse(hardware_config(self.simulator.directory, 1, devices=played))).controllers[1]

    def die_for(self, seconds: float) -> None:
        """Let the simulated time pass without a word from the software."""
        self.skipped_s.append(seconds)
        self.simulator.world.advance(now_s=time.monotonic() + sum(self.skipped_s))

    def plug(self, *, ready: bool = True) -> None:
        self.simulator.world.plug(1, VehicleChange(ready=ready), cable_a=32)

    async def until(self, shows: Callable[[ControllerStatus], bool]) -> ControllerStatus:
        """Poll like the control loop does until the board shows something; failed polls count as not yet."""
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            status = None
            with contextlib.suppress(DeviceFailed):
                status = await self.controller.read_status()
            if status is not None and shows(status):
                return status
            assert time.monotonic() < deadline_s, status
            await asyncio.sleep(0.02)

    async def release(self, limit: MilliAmpere = LIMIT) -> None:
        """Do what the control loop does to let a car charge."""
        if self.controller.capabilities.lock:
            await self.controller.lock()
            await self.until(lambda status: status.locked is True)
        await self.controller.set_current(limit)
        await self.controller.set_enabled(True)


async def beat(bench: Bench) -> None:
    """Tell a board that wants it that this bench lives, as the control loop does."""
    while True:
        if bench.is_alive and isinstance(bench.controller, HeartbeatWanted):
            with contextlib.suppress(DeviceFailed):
                await bench.controller.beat()
        await asyncio.sleep(0.1)


@pytest.fixture(params=sorted(CONTROLLERS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    played = {1: PlayedDevices(controller=request.param)}
    config = hardware_config(tmp_path, 1, devices=played)
    (tmp_path / "hardware.json").write_text(json.dumps(config))
    skipped_s: list[float] = []
    simulator = Simulator(
        SimulatorSettings(directory=tmp_path, connectors=1), clock=lambda: time.monotonic() + sum(skipped_s)
    )
    await simulator.open()
    controller = build(parse(config)).controllers[1]
    await controller.open()
    bench = Bench(driver=request.param, simulator=simulator, controller=controller, skipped_s=skipped_s)
    beating = asyncio.create_task(beat(bench)) if isinstance(controller, HeartbeatWanted) else None
    yield bench
    if beating is not None:
        beating.cancel()
    await bench.controller.close()
    await simulator.close()


async def test_it_says_who_it_is_and_leaves_the_board_as_it_is(bench: Bench) -> None:
    identity = await bench.controller.identify()
    status = await bench.controller.read_status()

    assert identity.model
    assert identity.serial
    assert identity.hardware_id
    assert identity.firmware
    assert (status.pilot, status.pwm_on, status.offered, status.enabled) == (Pilot.A, False, 0, False)
    assert status.faults == frozenset()
    assert status.read_at_s <= asyncio.get_running_loop().time()


async def test_a_car_charges_with_no_more_than_its_limit_and_only_while_released(bench: Bench) -> None:
    step = bench.controller.capabilities.resolution
    bench.plug(ready=False)
    await bench.until(lambda status: status.pilot is Pilot.B)

    await bench.controller.set_current(LIMIT)
    status = await bench.controller.read_status()
    assert (status.enabled, status.pwm_on) == (False, False), "a current alone releases nothing"

    await bench.release()
    bench.plug(ready=True)
    status = await bench.until(lambda status: status.pilot is Pilot.C and status.pwm_on)
    assert LIMIT - step < status.offered <= LIMIT
    assert status.enabled
    assert bench.point.contactor_closed

    await bench.controller.set_current(MilliAmpere(10_999))
    status = await bench.until(lambda status: status.offered < LIMIT - step)
    assert 10_999 - step < status.offered <= 10_999

    await bench.controller.set_current(PAUSE)
    status = await bench.until(lambda status: not status.pwm_on)
    assert (status.offered, status.enabled) == (PAUSE, True), "a pause keeps the permission"
    await bench.controller.set_current(LOWER)
    await bench.until(lambda status: status.pwm_on and status.offered > PAUSE)

    await bench.controller.set_enabled(False)
    status = await bench.until(lambda status: not status.enabled)
    assert not status.pwm_on
    await bench.until(lambda _: not bench.point.contactor_closed)

    bench.simulator.world.unplug_vehicle(1)
    await bench.until(lambda status: status.pilot is Pilot.A)


async def test_out_of_service_is_pilot_f_and_back_again(bench: Bench) -> None:
    await bench.controller.set_available(False)
    await bench.until(lambda status: status.pilot is Pilot.F)
    await bench.controller.set_available(False)

    await bench.controller.set_available(True)
    await bench.controller.set_available(True)
    await bench.until(lambda status: status.pilot is Pilot.A)


async def test_its_capabilities_are_true(bench: Bench) -> None:
    await bench.controller.identify()
    bench.plug()

    if bench.controller.capabilities.lock:
        await bench.controller.lock()
        await bench.until(lambda status: status.locked is True)
        await bench.controller.unlock()
        await bench.until(lambda status: status.locked is False)
    else:
        for move in (bench.controller.lock, bench.controller.unlock):
            with pytest.raises(DeviceRefused):
                await move()
    status = await bench.controller.read_status()
    assert (status.contactor_closed is not None) == bench.controller.capabilities.contactor_feedback


async def test_a_driver_that_comes_later_finds_energy_released_and_may_lower_it(bench: Bench) -> None:
    bench.plug()
    await bench.release()
    await bench.until(lambda status: status.offered > LOWER)
    await bench.controller.close()

    bench.controller = bench.another()
    await bench.controller.open()
    await bench.controller.identify()
    status = await bench.controller.read_status()
    assert status.enabled
    assert status.offered > LOWER, "nothing was commanded yet"
    await bench.controller.set_current(LOWER)

    await bench.until(lambda status: status.enabled and PAUSE < status.offered <= LOWER)


async def test_what_the_board_does_when_the_software_dies_is_what_its_capabilities_say(bench: Bench) -> None:
    await bench.controller.identify()
    watchdog = bench.controller.capabilities.watchdog
    bench.plug()
    await bench.release()
    await bench.until(lambda status: status.pwm_on)

    bench.is_alive = False
    bench.die_for(60.0)

    point = bench.point
    if watchdog is None:
        assert point.contactor_closed
        assert LOWER < point.offered_a * 1000 <= LIMIT
    elif watchdog.fallback == PAUSE:
        assert not point.contactor_closed
    else:
        assert point.offered_a * 1000 <= (watchdog.fallback or LIMIT)
    bench.is_alive = True
    await bench.until(lambda status: status.pwm_on)
    await bench.until(lambda _: point.contactor_closed)


async def test_a_board_that_has_restarted_is_told_again_and_a_withdrawal_holds(bench: Bench) -> None:
    bench.plug()
    await bench.release()
    await bench.until(lambda status: status.pwm_on)

    bench.point.board.restart(now_s=bench.point.now_s)
    await bench.until(lambda status: status.pwm_on and LOWER < status.offered <= LIMIT)
    assert bench.point.contactor_closed or bench.point.pilot is not Pilot.C

    await bench.controller.set_enabled(False)
    bench.point.board.restart(now_s=bench.point.now_s)
    status = await bench.until(lambda status: status.pilot is Pilot.B)
    assert not status.enabled


async def test_a_silent_and_a_noisy_board_are_device_failures_and_it_comes_back(bench: Bench) -> None:
    for mode in (LineMode.SILENT, LineMode.GARBAGE):
        bench.simulator.world.set_line(1, LineDevice.CONTROLLER, mode)
        began_s = time.monotonic()
        for ask in (
            bench.controller.read_status,
            lambda: bench.controller.set_enabled(False),
        ):
            with pytest.raises(DeviceFailed):
                await ask()
        assert time.monotonic() - began_s < 2 * SILENT_WITHIN_S

        bench.simulator.world.set_line(1, LineDevice.CONTROLLER, LineMode.OK)
        await bench.until(lambda status: status.pilot is Pilot.A)


async def test_an_adapter_that_is_pulled_is_told_at_once_and_found_again(bench: Bench) -> None:
    bench.plug()
    await bench.release()
    await bench.until(lambda status: status.pwm_on)
    line = bench.simulator.line("controller-1")

    line.close()
    with pytest.raises(DeviceFailed):
        await bench.controller.read_status()
    line.open()

    status = await bench.until(lambda status: status.pwm_on)
    assert status.enabled


@pytest.mark.parametrize(
    "code", [FaultCode.GROUND_FAILURE, FaultCode.POWER_SWITCH_FAILURE, FaultCode.EV_COMMUNICATION_ERROR]
)
async def test_a_fault_is_told_and_ends(bench: Bench, code: FaultCode) -> None:
    bench.simulator.world.set_fault(code.value, active=True, connector=1)
    status = await bench.until(lambda status: bool(status.faults))
    assert status.vendor_detail, "the number of the maker belongs to the fault"
    bench.simulator.world.set_fault(code.value, active=False, connector=1)

    await bench.until(lambda status: not status.faults)
