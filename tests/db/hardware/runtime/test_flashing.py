"""Flashing is asked for through the one door; sessions are in its way, and so is a board that cannot be flashed."""

import pytest

from station.domain.commands import FlashControllers, Refusal, Status
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@in_virtual_time
async def test_a_running_session_is_in_the_way_and_goes_on(bench: ControlLoopBench) -> None:
    await bench.charge(2)

    outcome = await bench.command(FlashControllers())

    assert (outcome.status, outcome.reason) == (Status.REJECTED, Refusal.SESSIONS_RUNNING)
    assert outcome.data == {"connectors": [2]}
    assert bench.hall.outlets[2].current > 0


@in_virtual_time
async def test_a_board_without_a_way_to_write_its_firmware_is_left_alone(bench: ControlLoopBench) -> None:
    outcome = await bench.command(FlashControllers())

    assert (outcome.status, outcome.reason) == (Status.NOT_SUPPORTED, Refusal.FLASHING_NOT_SUPPORTED)
