"""The current is watched by its meter, whatever the meter's energy register says."""

import asyncio
from collections.abc import Callable

import pytest

from station.domain.commands import StopSession
from station.domain.faults import FaultCode
from station.domain.supervision import WELD_S
from tests.db.hardware.runtime.bench import FRIEND, ControlLoopBench, in_virtual_time
from tests.fakes import FakeMeter


def counts_backwards(meter: FakeMeter) -> None:
    meter.outlet.energy_wh = 1.0


def leaps(meter: FakeMeter) -> None:
    # By more with every reading than any point can have delivered.
    read = meter.read

    async def leaping():
        meter.outlet.energy_wh += 1e9
        return await read()

    meter.read = leaping


def is_noise(meter: FakeMeter) -> None:
    meter.register_is_noise = True


@pytest.fixture
def points() -> int:
    return 2


REGISTERS = pytest.mark.parametrize("breaks", [counts_backwards, leaps, is_noise])


@REGISTERS
@in_virtual_time
async def test_a_welded_contactor_is_found_under_an_implausible_register(
    bench: ControlLoopBench, breaks: Callable[[FakeMeter], None]
) -> None:
    await bench.charge()
    outlet, point = bench.hall.outlets[1], bench.control_loop.points[1]
    breaks(bench.hall.meters[1])
    outlet.welded = True
    outlet.target = lambda: 10_000
    # The meter is given up after some seconds, and energy withdrawn: then the contactor shows what it is.
    await bench.until(lambda: FaultCode.POWER_METER_FAILURE in point.active_faults)
    await bench.until(lambda: FaultCode.POWER_SWITCH_FAILURE in point.active_faults)

    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(60)
    assert not bench.messages("StopTransaction")


@REGISTERS
@in_virtual_time
async def test_a_car_that_takes_too_much_is_found_under_an_implausible_register(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, breaks: Callable[[FakeMeter], None]
) -> None:
    # A meter that is given up would withdraw energy before the ten seconds of the over-current are over.
    monkeypatch.setattr("hardware.runtime.pollers.METER_SILENT_S", 3600.0)
    await bench.kill()
    await bench.start()
    await bench.charge()
    outlet, point = bench.hall.outlets[1], bench.control_loop.points[1]
    outlet.target = lambda: 40_000 if outlet.pwm_on else 0
    outlet.settle()
    breaks(bench.hall.meters[1])
    await bench.until(lambda: FaultCode.OVER_CURRENT_FAILURE in point.active_faults)

    await bench.until(lambda: outlet.current == 0)


@in_virtual_time
async def test_one_wrong_register_is_no_fault(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.meters[1].register_is_noise = True
    await asyncio.sleep(1.5)
    bench.hall.meters[1].register_is_noise = False
    await asyncio.sleep(10)

    assert not bench.control_loop.points[1].active_faults
    assert bench.hall.outlets[1].current == 32_000


@in_virtual_time
async def test_a_session_that_is_taken_up_late_after_a_restart_is_no_welded_contactor(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)
    current = bench.hall.outlets[1].current
    await bench.kill()
    # The other point holds the recovery up: its car has left, and its meter does not answer.
    bench.hall.outlets[2].unplug()
    bench.hall.meters[2].silent = True
    before = len(bench.hall.outlets[1].history)
    began_s = bench.loop.time()
    await bench.start()
    assert bench.loop.time() - began_s > WELD_S
    assert not bench.control_loop.points[1].active_faults
    await asyncio.sleep(5)

    assert all(each >= current for _, each, _ in bench.hall.outlets[1].history[before:])
