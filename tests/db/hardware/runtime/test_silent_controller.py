"""The line to a controller is dead while its car charges: what flows stays somebody's, and is ended when it can be."""

import asyncio

import pytest

from station.domain.commands import StopSession
from station.domain.faults import FaultCode
from station.models import ChargingSession, Connector, LogEntry
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@in_virtual_time
async def test_a_session_stays_open_for_as_long_as_its_meter_shows_current(bench: ControlLoopBench) -> None:
    await bench.charge()
    outlet = bench.hall.outlets[1]
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(900)

    assert outlet.current == 32_000
    assert bench.messages("StopTransaction") == []
    assert ChargingSession.objects.running().count() == 1
    row = Connector.objects.get(number=1)
    assert (row.status, row.vendor_error_code) == ("Faulted", "EVSECommunicationError")
    assert ChargingSession.objects.get().meter_last_wh > outlet.register_wh - 1000

    bench.hall.controllers[1].silent = False
    await bench.until(lambda: outlet.current == 0)
    await bench.until(lambda: bench.messages("StopTransaction"))
    _, stop = bench.messages("StopTransaction")[0]
    assert stop["meterStop"] == outlet.register_wh
    await bench.until(lambda: not bench.control_loop.points[1].active_faults)
    await asyncio.sleep(2)
    assert Connector.objects.get(number=1).status == "Finishing"


@in_virtual_time
async def test_current_behind_a_silent_board_is_no_welded_contactor(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(60)
    assert bench.hall.outlets[1].current == 32_000

    bench.hall.controllers[1].silent = False
    await asyncio.sleep(20)

    told = {entry.code for entry in LogEntry.objects.filter(connector_id=1)}
    assert f"fault.{FaultCode.EVSE_COMMUNICATION_ERROR.value}" in told
    assert f"fault.{FaultCode.POWER_SWITCH_FAILURE.value}" not in told


@in_virtual_time
async def test_a_stop_that_the_board_does_not_hear_is_not_told_before_the_current_has_ended(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    bench.hall.controllers[1].silent = True
    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(30)
    assert bench.messages("StopTransaction") == []

    # The car has had enough; the board is silent still.
    bench.hall.outlets[1].set_ready(ready=False)
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=120)
    _, stop = bench.messages("StopTransaction")[0]
    assert stop["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_a_board_that_hears_but_is_not_heard_is_told_again_to_withdraw_energy(bench: ControlLoopBench) -> None:
    await bench.charge()
    outlet, controller = bench.hall.outlets[1], bench.hall.controllers[1]
    controller.silent = True
    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(5)
    assert outlet.released

    controller.silent, controller.mute = False, True
    await bench.until(lambda: not outlet.released, seconds=5)


@in_virtual_time
async def test_a_restart_does_not_close_what_still_draws_current(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(20)
    await bench.kill()
    await bench.start()
    await asyncio.sleep(300)

    assert bench.hall.outlets[1].current == 32_000
    assert bench.messages("StopTransaction") == []
    assert Connector.objects.get(number=1).status == "Faulted"
    bench.hall.controllers[1].silent = False
    await bench.until(lambda: bench.messages("StopTransaction"))
    _, stop = bench.messages("StopTransaction")[0]
    assert stop["meterStop"] == bench.hall.outlets[1].register_wh
    assert len(bench.messages("StartTransaction")) == 1


@in_virtual_time
async def test_a_car_that_draws_behind_a_silent_board_keeps_its_session_over_a_restart(bench: ControlLoopBench) -> None:
    await bench.charge()
    outlet = bench.hall.outlets[1]
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(5)
    for _ in range(2):
        await bench.kill()
        await bench.start()
        await asyncio.sleep(5)

    row = ChargingSession.objects.get()
    assert (row.stop_requested_at, row.stopped_at) == (None, None)
    assert Connector.objects.get(number=1).status == "Faulted"
    assert "fault.EVSECommunicationError" in LogEntry.objects.filter(connector_id=1).values_list("code", flat=True)
    assert outlet.current == 32_000

    # The line is mended, and the driver ends the session as any other: what flowed meanwhile is billed.
    bench.hall.controllers[1].silent = False
    await bench.phase("charging")
    await asyncio.sleep(30)
    assert outlet.current == 32_000
    bench.hall.reader.tap(CARD)
    _, stop = (await bench.until(lambda: bench.messages("StopTransaction")))[0]
    assert (stop.get("reason", "Local"), stop["meterStop"]) == ("Local", outlet.register_wh)
    assert len(bench.messages("StartTransaction")) == 1


@in_virtual_time
async def test_a_car_that_left_a_silent_board_after_a_restart_is_billed_when_the_line_is_mended(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    bench.hall.controllers[1].silent = True
    await asyncio.sleep(5)
    await bench.kill()
    await bench.start()
    await asyncio.sleep(10)
    bench.hall.outlets[1].unplug()
    bench.hall.controllers[1].silent = False

    _, stop = (await bench.until(lambda: bench.messages("StopTransaction")))[0]
    assert (stop["reason"], stop["meterStop"]) == ("EVDisconnected", bench.hall.outlets[1].register_wh)


@in_virtual_time
async def test_a_board_that_hears_but_is_not_heard_after_a_restart_is_told_to_withdraw_energy(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    bench.hall.controllers[1].mute = True
    await bench.kill()
    await bench.start()

    await bench.until(lambda: not bench.hall.outlets[1].released, seconds=10)
    await bench.until(lambda: bench.hall.outlets[1].current == 0)


@in_virtual_time
async def test_the_event_log_says_that_current_flows_although_energy_was_withdrawn(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.controllers[1].silent = True
    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(60)

    faults = bench.control_loop.points[1].active_faults
    assert FaultCode.EVSE_COMMUNICATION_ERROR in faults
    begun = LogEntry.objects.filter(connector_id=1, cleared_at=None).values_list("code", flat=True)
    assert f"fault.{FaultCode.EVSE_COMMUNICATION_ERROR}" in begun
