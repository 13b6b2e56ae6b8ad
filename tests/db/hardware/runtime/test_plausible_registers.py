"""A register that jumps, falls or is another meter's is a fault of the point and never a bill, also over a restart."""

import asyncio
from collections.abc import Callable

import pytest

from station.domain.commands import StopSession
from station.domain.faults import FaultCode
from station.models import Connector
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time


def _jumps(bench: ControlLoopBench) -> None:
    # The bench may count faster than the clock, so it takes a lot to be more than the point can deliver.
    bench.hall.outlets[1].energy_wh += 900_000_000.0


def _falls(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].energy_wh -= 4_000.0


def _is_another_one(bench: ControlLoopBench) -> None:
    bench.hall.meters[1].exchanged = True
    bench.hall.outlets[1].energy_wh += 10.0


GOES_WRONG = pytest.mark.parametrize("goes_wrong", [_jumps, _falls, _is_another_one])


@GOES_WRONG
@in_virtual_time
async def test_what_cannot_be_true_is_a_fault_and_not_on_the_bill(
    bench: ControlLoopBench, goes_wrong: Callable[[ControlLoopBench], None]
) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    true_wh = bench.hall.outlets[1].register_wh
    # The meter is away while it goes wrong: this is how another one comes to its place.
    bench.hall.meters[1].silent = True
    await bench.until(lambda: FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults)
    goes_wrong(bench)
    bench.hall.meters[1].silent = False
    await asyncio.sleep(15)

    assert FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults
    assert Connector.objects.get(number=1).error_code == "PowerMeterFailure"
    await _is_billed_by(bench, true_wh)


@GOES_WRONG
@in_virtual_time
async def test_what_went_wrong_while_the_software_was_away_is_not_on_the_bill_either(
    bench: ControlLoopBench, goes_wrong: Callable[[ControlLoopBench], None]
) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    true_wh = bench.hall.outlets[1].register_wh
    await bench.kill()
    goes_wrong(bench)
    await bench.start()
    await asyncio.sleep(15)

    assert FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults
    await _is_billed_by(bench, true_wh)


async def _is_billed_by(bench: ControlLoopBench, true_wh: int) -> None:
    # A session whose meter is a fault ends by itself after a minute, or by command.
    await bench.command(StopSession(connector_id=1))
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=120)
    ((_, stop),) = bench.messages("StopTransaction")
    assert true_wh - 1_500 <= stop["meterStop"] <= true_wh + 500
    ((_, start),) = bench.messages("StartTransaction")
    assert stop["meterStop"] >= start["meterStart"]
