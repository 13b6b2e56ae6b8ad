"""A driver raises what nobody has thought of: it is that device's fault, told once, and everything else goes on."""

import asyncio
from typing import Any

import pytest

from station.domain.commands import StopSession
from station.domain.faults import FaultCode
from station.models import Connector, LogEntry
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


async def broken(*_: Any) -> Any:
    await asyncio.sleep(0.01)
    raise ZeroDivisionError("a scale of 0")


def tracebacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.exc_info]


@in_virtual_time
async def test_a_controller_whose_driver_fails_is_out_of_order_and_the_other_point_charges(
    bench: ControlLoopBench, caplog: pytest.LogCaptureFixture
) -> None:
    controller = bench.hall.controllers[1]
    sound = controller._answer
    await bench.charge(2)
    controller._answer = broken
    await asyncio.sleep(50)

    assert FaultCode.EVSE_COMMUNICATION_ERROR in bench.control_loop.points[1].active_faults
    assert Connector.objects.get(number=1).status == "Faulted"
    assert bench.hall.outlets[2].current > 0
    assert LogEntry.objects.filter(code=f"fault.{FaultCode.EVSE_COMMUNICATION_ERROR.value}").count() == 1
    assert len(tracebacks(caplog)) == 1
    assert "controller 1" in tracebacks(caplog)[0]

    controller._answer = sound
    await bench.until(lambda: not bench.control_loop.points[1].active_faults)


@in_virtual_time
async def test_a_command_whose_driver_fails_is_repeated_until_the_board_obeys(bench: ControlLoopBench) -> None:
    await bench.charge()
    controller = bench.hall.controllers[1]
    sound = controller.outlet.settle
    controller.outlet.settle = explode
    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(3)
    assert bench.messages("StopTransaction") == []

    controller.outlet.settle = sound
    sound()
    await bench.until(lambda: bench.messages("StopTransaction"))


def explode() -> None:
    raise AttributeError("'NoneType' object has no attribute 'write'")


@in_virtual_time
async def test_a_meter_whose_driver_fails_is_a_fault_of_its_point_until_it_works_again(
    bench: ControlLoopBench, caplog: pytest.LogCaptureFixture
) -> None:
    meter = bench.hall.meters[1]
    sound = meter._answer
    meter._answer = broken
    await bench.until(lambda: FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults)
    assert not bench.control_loop.points[2].active_faults
    await asyncio.sleep(20)
    assert len(tracebacks(caplog)) == 1

    meter._answer = sound
    await bench.until(lambda: not bench.control_loop.points[1].active_faults)


@in_virtual_time
async def test_a_reader_and_inputs_whose_drivers_fail_leave_the_points_alone(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.charge()
    monkeypatch.setattr(bench.hall.reader, "field_until_s", None)
    monkeypatch.setattr(bench.hall.io, "faults", None)
    monkeypatch.setattr(bench.hall.io, "lamps", ())
    await bench.until(lambda: FaultCode.READER_FAILURE in bench.control_loop.state.active_faults)
    await bench.command(StopSession(connector_id=1))
    await bench.until(lambda: bench.messages("StopTransaction"))
    # The reader, the inputs and the lamps.
    await bench.until(lambda: len(tracebacks(caplog)) == 3)
