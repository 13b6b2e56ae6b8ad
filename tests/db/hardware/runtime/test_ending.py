"""The phase between a stop and its end: what flows is waited for, and nothing that happens meanwhile is forgotten."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from hardware.runtime.actuator import Actuator
from hardware.runtime.session import RunningSession
from hardware.runtime.session_records import SessionEnd, SessionRecords
from station import clock
from station.domain.commands import PresentTag, Refusal, Status, StopSession, UnlockConnector
from station.domain.connector import StopRequested
from station.domain.faults import FaultCode
from station.domain.moments import from_wire
from station.domain.ports import DeviceSilent
from station.models import ChargingSession
from station.services.messages import ProfilesChanged
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time, profile
from tests.fakes import Car


async def stopped(bench: ControlLoopBench, *, seconds: float = 20.0) -> dict[str, Any]:
    """Wait for the one StopTransaction."""
    await bench.until(lambda: bench.messages("StopTransaction"), seconds=seconds)
    [(_, stop)] = bench.messages("StopTransaction")
    return stop


def hold_current(bench: ControlLoopBench, milliamperes: int = 8_000) -> None:
    """Let the contactor weld: what the board is told changes nothing any more."""
    outlet = bench.hall.outlets[1]
    outlet.welded, outlet.target = True, lambda: milliamperes
    outlet.settle()


def end_current(bench: ControlLoopBench) -> None:
    outlet = bench.hall.outlets[1]
    outlet.welded, outlet.target = False, lambda: 0
    outlet.settle()


@in_virtual_time
async def test_an_end_that_fails_in_a_way_nobody_thought_of_is_made_later_and_lets_the_cable_go(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [ValueError("nobody thought of this")]
    end_of = SessionRecords.end_of

    def fails_once(records: SessionRecords, session: RunningSession, **end: Any) -> SessionEnd:
        if failures:
            raise failures.pop()
        return end_of(records, session, **end)

    monkeypatch.setattr(SessionRecords, "end_of", fails_once)
    await bench.charge()
    await bench.command(StopSession(connector_id=1, reason="Remote"))

    assert (await stopped(bench))["reason"] == "Remote"
    assert not failures
    await bench.until(lambda: not bench.hall.outlets[1].lock_commanded)


# --- the plug


@in_virtual_time
async def test_a_tap_while_the_current_ends_unlocks_nothing_under_load(bench: ControlLoopBench) -> None:
    await bench.charge(ends_s=2.9)
    await bench.start_answered("Invalid")
    await bench.phase("ending")
    bench.hall.reader.tap(CARD)
    outlet = bench.hall.outlets[1]
    await bench.until(lambda: not outlet.lock_commanded)

    # The one who taps wants the cable: it is let go without another tap, and not before the current has ended.
    assert outlet.current == 0
    assert outlet.history[-1][0] <= bench.loop.time()
    assert (await stopped(bench))["reason"] == "DeAuthorized"


@in_virtual_time
async def test_an_unlock_command_under_load_waits_for_the_current(bench: ControlLoopBench) -> None:
    await bench.charge(ends_s=2.5)
    outlet = bench.hall.outlets[1]
    asked = asyncio.create_task(bench.command(UnlockConnector(connector_id=1)))
    while outlet.current:
        assert outlet.lock_commanded
        await asyncio.sleep(0.02)

    assert (await asked).status is Status.UNLOCKED
    assert (await stopped(bench))["reason"] == "UnlockCommand"


@in_virtual_time
async def test_a_car_that_comes_while_the_session_before_ends_is_not_taken_for_the_one_that_left(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    bench.hall.controllers[1].silent = True
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(1)
    outlet = bench.hall.outlets[1]
    # The board has opened its lock by itself, and the next driver was quick.
    outlet.lock_commanded, outlet.lock_at_s = False, bench.loop.time()
    await asyncio.sleep(0.2)
    outlet.unplug()
    await asyncio.sleep(5)
    bench.hall.controllers[1].silent = False
    await asyncio.sleep(0.3)
    outlet.plug(Car())
    await stopped(bench, seconds=90)
    await bench.until(lambda: bench.control_loop.points[1].waits_for_card)

    bench.hall.reader.tap(FRIEND)
    await bench.phase("charging")
    assert ChargingSession.objects.count() == 2


# --- the stop is written down, then told


@in_virtual_time
async def test_a_stop_is_not_confirmed_before_it_is_written_down_whoever_asks(bench: ControlLoopBench) -> None:
    await bench.charge()
    hold_current(bench)
    bench.database.refuses = lambda verb: verb == "request_stop"

    refused = await bench.command(StopSession(connector_id=1, reason="Remote"))
    tapped = await bench.command(PresentTag(id_tag=CARD))
    assert (refused.status, refused.reason) == (Status.REJECTED, Refusal.RECORDS_UNWRITABLE)
    assert not tapped.succeeded
    assert not bench.hall.outlets[1].released

    bench.database.refuses = None
    await bench.until(lambda: ChargingSession.objects.get().stop_requested_at)
    assert (await bench.command(PresentTag(id_tag=CARD))).succeeded


@in_virtual_time
async def test_a_stop_that_could_not_be_written_is_written_later_and_survives_a_kill(bench: ControlLoopBench) -> None:
    await bench.charge()
    hold_current(bench)
    bench.database.refuses = lambda verb: verb == "request_stop"
    await bench.command(StopSession(connector_id=1, reason="Remote"))
    asked = bench.clock.now()
    await asyncio.sleep(10)
    bench.database.refuses = None
    row = await bench.until(lambda: ChargingSession.objects.exclude(stop_requested_at=None).first())
    assert abs((row.stop_requested_at - asked).total_seconds()) < 3

    await bench.kill()
    await bench.start()
    for _ in range(50):
        await asyncio.sleep(0.2)
        assert not bench.hall.outlets[1].released
    assert bench.messages("StopTransaction") == []
    end_current(bench)
    stop = await stopped(bench)
    assert stop["reason"] == "Remote"
    assert abs((from_wire(stop["timestamp"]) - asked).total_seconds()) < 3


@in_virtual_time
async def test_a_database_that_hangs_does_not_hold_up_the_watch_over_the_car(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.database.latency_s = 30.0
    asked_s = bench.loop.time()
    await bench.control_loop.points[1].handle(StopRequested(reason="Remote"))

    assert bench.loop.time() - asked_s < 3
    await bench.until(lambda: bench.hall.outlets[1].current == 0, seconds=3)


@in_virtual_time
async def test_however_many_stop_it_a_session_is_told_to_have_ended_once_and_by_the_first(
    bench: ControlLoopBench,
) -> None:
    await bench.charge(ends_s=2.9)
    outlet = bench.hall.outlets[1]
    await bench.command(StopSession(connector_id=1, reason="Remote"))
    bench.hall.reader.tap(CARD)
    outlet.button = True
    await asyncio.sleep(0.5)
    await bench.command(StopSession(connector_id=1, reason="Remote"))
    outlet.unplug()
    await bench.until(lambda: bench.messages("StopTransaction"))
    await asyncio.sleep(30)
    await bench.kill()
    await bench.start()
    await asyncio.sleep(10)

    assert (await stopped(bench))["reason"] == "Remote"


@in_virtual_time
async def test_a_stop_keeps_the_corrected_moment(bench: ControlLoopBench) -> None:
    wrong = timedelta(days=-200)
    bench.clock.jumped, bench.hall.computer.trustworthy = wrong, False
    await bench.charge()
    # Long enough that the begin is no substitute for it.
    await asyncio.sleep(60)
    hold_current(bench)
    asked = bench.clock.now() - wrong
    await bench.command(StopSession(connector_id=1, reason="Remote"))
    await asyncio.sleep(20)
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(), True
    await asyncio.sleep(5)
    end_current(bench)

    told = from_wire((await stopped(bench))["timestamp"])
    assert abs((told - asked).total_seconds()) < 3


# --- devices that do not answer


@in_virtual_time
async def test_a_silent_meter_is_waited_for_and_then_what_was_written_down_stands(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    noted = ChargingSession.objects.get().meter_last_wh
    bench.hall.meters[1].silent = True
    bench.hall.reader.tap(CARD)
    await bench.phase("ending")
    await asyncio.sleep(13)
    assert bench.messages("StopTransaction") == []
    await asyncio.sleep(5)

    assert noted <= (await stopped(bench))["meterStop"] <= bench.hall.outlets[1].register_wh
    await bench.until(lambda: not bench.hall.outlets[1].bolt_in)


@in_virtual_time
async def test_a_meter_that_answers_in_time_tells_the_final_register(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    bench.hall.meters[1].silent = True
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(12)
    bench.hall.meters[1].silent = False

    assert (await stopped(bench))["meterStop"] == bench.hall.outlets[1].register_wh


@pytest.mark.parametrize("meter_silent", [False, True])
@in_virtual_time
async def test_a_board_that_stays_silent_while_nothing_flows_has_no_power_itself(
    bench: ControlLoopBench, *, meter_silent: bool
) -> None:
    await bench.charge()
    outlet = bench.hall.outlets[1]
    bench.hall.controllers[1].silent, bench.hall.meters[1].silent = True, meter_silent
    # The fuse of the point: the car gets nothing, and its board says nothing.
    outlet.target = lambda: 0
    outlet.settle()
    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(55)
    assert bench.messages("StopTransaction") == []
    await asyncio.sleep(15)

    assert (await stopped(bench))["meterStop"] <= outlet.register_wh


@in_virtual_time
async def test_current_shows_although_the_register_has_gone_mad(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(30)
    outlet = bench.hall.outlets[1]
    plausible = outlet.register_wh
    hold_current(bench)
    outlet.energy_wh += 900_000_000
    await bench.command(StopSession(connector_id=1))
    await asyncio.sleep(60)

    assert bench.messages("StopTransaction") == []
    assert FaultCode.POWER_SWITCH_FAILURE in bench.control_loop.points[1].active_faults
    end_current(bench)
    assert plausible - 100 <= (await stopped(bench, seconds=40))["meterStop"] <= plausible + 100


# --- registers and restarts


@in_virtual_time
async def test_the_first_register_of_a_session_is_what_the_next_is_compared_with(bench: ControlLoopBench) -> None:
    outlet = bench.hall.outlets[1]
    outlet.plug()
    await bench.phase("plugged")
    # Nobody minds a meter that was set while nobody charged; from the begin on it is somebody's bill.
    outlet.energy_wh = 70_000_000.0
    await asyncio.sleep(5)
    bench.hall.reader.tap(CARD)
    await bench.phase("charging")
    assert ChargingSession.objects.get().meter_start_wh == 70_000_000
    outlet.energy_wh += 900_000_000
    await bench.until(lambda: FaultCode.POWER_METER_FAILURE in bench.control_loop.points[1].active_faults)
    bench.hall.reader.tap(CARD)

    assert (await stopped(bench, seconds=40))["meterStop"] < 70_000_200


@pytest.mark.parametrize(("moved_wh", "billed"), [(300_000, True), (-4_000, False)])
@in_virtual_time
async def test_after_another_boot_only_direction_and_meter_are_compared(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, moved_wh: int, *, billed: bool
) -> None:
    # The registers of a simulation may run faster than any car.
    host = replace(bench.hall.computer.host(), is_simulated=False)
    monkeypatch.setattr(bench.hall.computer, "host", lambda: host)
    await bench.charge()
    await asyncio.sleep(17)
    noted = ChargingSession.objects.get().meter_last_wh
    await bench.kill()
    # The board has gone on for a day, and the clock has lost the time of it.
    bench.hall.outlets[1].unplug()
    bench.hall.outlets[1].energy_wh += moved_wh
    monkeypatch.setattr(clock, "boot_id", lambda: "another boot")
    bench.clock.jumped, bench.hall.computer.trustworthy = timedelta(days=-20_000), False
    await bench.start()

    register = bench.hall.outlets[1].register_wh
    stop = await stopped(bench, seconds=40)
    if billed:
        assert stop["meterStop"] == register
    else:
        assert noted <= stop["meterStop"] <= register - moved_wh


@in_virtual_time
async def test_a_restart_goes_on_with_the_current_that_was_offered(bench: ControlLoopBench) -> None:
    profile(10)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.charge()
    outlet, controller = bench.hall.outlets[1], bench.hall.controllers[1]
    await bench.kill()
    written: list[int | bool] = []
    set_current, set_enabled = controller.set_current, controller.set_enabled

    async def note_current(limit):
        written.append(limit)
        await set_current(limit)

    async def note_enabled(enabled):
        written.append(enabled)
        await set_enabled(enabled)

    controller.set_current, controller.set_enabled = note_current, note_enabled
    before = len(outlet.history)
    await bench.start()
    await asyncio.sleep(20)

    assert all(each in (10_000, True) for each in written)
    assert [current for _, current, _ in outlet.history[before:] if current != 10_000] == []


@in_virtual_time
async def test_what_a_restart_finds_is_not_paused_before_limits_are_computed(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.kill()
    outlet, controller = bench.hall.outlets[1], bench.hall.controllers[1]
    actuator = Actuator(controller, has_lock=True)
    actuator.locked = True
    actuator.adopt(await controller.read_status())
    await asyncio.sleep(0.25)

    await actuator.reconcile(await controller.read_status(), current_flows=True)
    await asyncio.sleep(5)

    assert (outlet.released, outlet.offered, outlet.current) == (True, 32_000, 32_000)


@in_virtual_time
async def test_energy_waits_for_a_bolt_that_was_not_commanded(bench: ControlLoopBench) -> None:
    outlet, controller = bench.hall.outlets[1], bench.hall.controllers[1]
    lock = controller.lock

    async def is_lost() -> None:
        raise DeviceSilent("no answer")

    controller.lock = is_lost
    outlet.plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await asyncio.sleep(5)
    assert bench.control_loop.points[1].session is not None
    assert not outlet.released

    # `broken_promises` would hold a release before the bolt is in.
    controller.lock = lock
    await bench.until(lambda: outlet.current == 32_000)
    await bench.phase("charging")
