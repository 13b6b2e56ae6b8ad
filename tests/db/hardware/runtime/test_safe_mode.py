"""Safe mode keeps energy off at every board, faults every connector and refuses everything but a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from hardware.runtime.kept_off import KeptOff
from hardware.runtime.safe_mode import INFO, SafeMode
from station.domain.commands import Outcome, PresentTag, Refusal, Reset, Status
from station.domain.connector import Phase
from station.domain.crash_guard import CrashCause, CrashHistory
from station.models import ChargingSession, Connector, LogEntry
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time

RETRY_S = 600.0


@pytest.fixture
def points() -> int:
    return 2


@dataclass
class Guarded:
    """A bench whose control loop has crashed too often."""

    bench: ControlLoopBench
    safe_mode: SafeMode
    running: asyncio.Task[None]


@asynccontextmanager
async def safe(bench: ControlLoopBench) -> AsyncIterator[Guarded]:
    await bench.kill()
    safe_mode = SafeMode(
        [
            KeptOff(number=number, controller=controller, meter=bench.hall.meters.get(number), has_lock=True)
            for number, controller in bench.hall.controllers.items()
        ],
        CrashHistory(safe_until_s=bench.loop.time() + RETRY_S, cause=CrashCause.EXCEPTION),
        connectors=2,
        power=bench.hall.computer,
        redis=bench.redis,
    )
    running = asyncio.create_task(safe_mode.run())
    await asyncio.sleep(3)
    yield Guarded(bench, safe_mode, running)
    running.cancel()
    await asyncio.wait([running])


@in_virtual_time
async def test_energy_goes_off_everywhere_and_the_sessions_stay_open(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)

    async with safe(bench):
        for outlet in bench.hall.outlets.values():
            assert (outlet.released, outlet.current) == (False, 0)
        assert ChargingSession.objects.running().count() == 2
        assert bench.messages("StopTransaction") == []


@in_virtual_time
async def test_a_board_that_did_not_answer_or_forgot_is_told_again(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    bench.hall.controllers[1].silent = True

    async with safe(bench):
        assert bench.hall.outlets[1].released
        bench.hall.controllers[1].silent = False
        await asyncio.sleep(2)
        assert not bench.hall.outlets[1].released

        bench.hall.outlets[1].released = True
        await asyncio.sleep(2)
        assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_every_connector_is_faulted_at_the_backend_and_keeps_its_phase(bench: ControlLoopBench) -> None:
    await bench.charge(1)

    async with safe(bench):
        told = {
            message["connector_id"]: (message["status"], message["error_code"], message["info"])
            for message in bench.channel_layer.sent
            if message["type"] == "status.changed"
        }
        assert told == dict.fromkeys((0, 1, 2), ("Faulted", "InternalError", INFO))
        assert Connector.objects.get(number=1).phase == Phase.CHARGING
        assert LogEntry.objects.get(code="station.safe_mode").data == {"cause": "control_failed"}


@in_virtual_time
async def test_the_pages_are_told_why(bench: ControlLoopBench) -> None:
    async with safe(bench) as guarded:
        snapshot = guarded.safe_mode.take(1)

        assert snapshot.not_ready == ("safe_mode", "control_failed")
        assert [point.status for point in snapshot.points] == ["Faulted", "Faulted"]


@in_virtual_time
async def test_a_database_that_hangs_does_not_keep_energy_on(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    bench.database.latency_s = 3600.0

    async with safe(bench):
        assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_a_card_is_refused_and_a_restart_is_carried_out(bench: ControlLoopBench) -> None:
    async with safe(bench) as guarded:
        refused = await bench.command(PresentTag(id_tag=CARD), to=guarded.safe_mode)
        accepted = await bench.command(Reset(hard=False), to=guarded.safe_mode)
        await asyncio.sleep(1)

        assert (refused.status, refused.reason) == (Status.REJECTED, Refusal.SAFE_MODE)
        assert accepted == Outcome(status=Status.ACCEPTED)
        assert bench.hall.computer.restarts == ["software"]


@in_virtual_time
async def test_it_ends_by_itself_when_the_control_loop_may_try_again(bench: ControlLoopBench) -> None:
    async with safe(bench) as guarded:
        await asyncio.sleep(RETRY_S - 10)
        assert not guarded.running.done()
        await asyncio.sleep(20)
        assert guarded.running.done()
        guarded.running.result()


@in_virtual_time
async def test_the_next_control_loop_goes_on_with_the_session(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    async with safe(bench):
        await asyncio.sleep(60)

    await bench.start()
    await bench.phase(Phase.CHARGING)
    await asyncio.sleep(2)

    assert ChargingSession.objects.count() == 1
    assert Connector.objects.get(number=1).status == "Charging"
    assert Connector.objects.get(number=0).status == "Available"


# --- the cable


@in_virtual_time
async def test_a_driver_gets_the_cable_back_when_the_current_has_ended(bench: ControlLoopBench) -> None:
    await bench.charge(1, ends_s=2.9)
    outlet = bench.hall.outlets[1]

    async with safe(bench):
        for _ in range(40):
            await asyncio.sleep(0.1)
            assert outlet.current == 0 or outlet.lock_commanded
        assert not outlet.bolt_in
        outlet.unplug()
        await asyncio.sleep(5)

    await bench.start()
    await bench.until(lambda: bench.messages("StopTransaction"))


@pytest.mark.parametrize("has_feedback", [True, False])
@in_virtual_time
async def test_a_plug_is_not_let_go_while_the_meter_shows_current(
    bench: ControlLoopBench, *, has_feedback: bool
) -> None:
    await bench.charge(1)
    outlet, controller = bench.hall.outlets[1], bench.hall.controllers[1]
    if not has_feedback:
        controller.has_feedback = False
    outlet.target = lambda: 9_000

    async with safe(bench):
        await asyncio.sleep(120)
        assert outlet.bolt_in
        assert not outlet.released
        # Also where its register has gone mad meanwhile.
        bench.hall.meters[1].register_is_noise = True
        await asyncio.sleep(60)
        assert outlet.bolt_in

        outlet.unplug()
        await asyncio.sleep(3)
        assert not outlet.bolt_in


@in_virtual_time
async def test_a_silent_meter_holds_the_plug_for_a_while_and_a_silent_board_for_good(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)
    bench.hall.meters[1].silent = bench.hall.controllers[2].silent = True

    async with safe(bench):
        await asyncio.sleep(8)
        assert bench.hall.outlets[1].bolt_in
        await asyncio.sleep(52)
        assert not bench.hall.outlets[1].bolt_in
        assert bench.hall.outlets[2].bolt_in


@in_virtual_time
async def test_a_car_that_stays_is_locked_again_before_it_charges_on(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    async with safe(bench):
        await asyncio.sleep(30)
        assert not bench.hall.outlets[1].bolt_in

    # `broken_promises` would hold energy without a lock.
    await bench.start()
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)
