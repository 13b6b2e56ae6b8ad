"""The software ends in order: for a restart cars go on charging, for good they do not."""

import asyncio

import pytest

from station.domain.connector import Phase
from station.models import ChargingSession
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@in_virtual_time
async def test_an_end_for_good_withdraws_energy_and_leaves_the_sessions_open(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)

    await bench.stop(comes_back=False)
    await asyncio.sleep(5)

    for outlet in bench.hall.outlets.values():
        assert (outlet.released, outlet.current) == (False, 0)
        assert outlet.bolt_in
    assert ChargingSession.objects.running().count() == 2
    assert bench.messages("StopTransaction") == []


@in_virtual_time
async def test_the_next_start_goes_on_with_the_session(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    await bench.stop(comes_back=False)
    await asyncio.sleep(5)

    await bench.start()
    await bench.phase(Phase.CHARGING)

    assert ChargingSession.objects.count() == 1
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.messages("StopTransaction"))
    assert bench.messages("StopTransaction")[0][1]["meterStop"] == bench.hall.outlets[1].register_wh


@in_virtual_time
async def test_an_end_for_a_restart_leaves_the_energy_on(bench: ControlLoopBench) -> None:
    await bench.charge(1)

    await bench.stop(comes_back=True)
    await asyncio.sleep(5)

    assert bench.hall.outlets[1].current == 32_000


@in_virtual_time
async def test_a_board_that_does_not_answer_at_once_is_told_again(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    bench.hall.controllers[1].silent = True
    bench.loop.call_later(1.0, setattr, bench.hall.controllers[1], "silent", False)

    await bench.stop(comes_back=False)

    assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_a_board_that_never_answers_does_not_hold_the_end_up(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)
    bench.hall.controllers[1].silent = True
    began_s = bench.loop.time()

    await bench.stop(comes_back=False)

    assert bench.loop.time() - began_s < 2.0
    assert not bench.hall.outlets[2].released


@in_virtual_time
async def test_a_card_that_is_being_served_does_not_release_energy_after_the_end(bench: ControlLoopBench) -> None:
    bench.hall.outlets[1].plug()
    await bench.phase("plugged")
    bench.hall.reader.tap(CARD)
    await bench.until(lambda: bench.control_loop.points[1].actuator.enabled)

    await bench.stop(comes_back=False)
    await asyncio.sleep(5)

    assert not bench.hall.outlets[1].released
    assert bench.hall.outlets[1].current == 0
