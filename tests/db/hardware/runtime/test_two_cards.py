"""Cards at the one reader of a station with two charging points."""

import pytest

from station.models import ChargingSession
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@in_virtual_time
async def test_two_different_cards_in_the_same_second_are_two_taps(bench: ControlLoopBench) -> None:
    for number in (1, 2):
        bench.hall.outlets[number].plug()
        await bench.until(lambda number=number: bench.control_loop.points[number].waits_for_card)

    bench.hall.reader.tap(CARD)
    bench.hall.reader.tap(FRIEND)

    for number in (1, 2):
        await bench.phase("charging", number)
    assert {session.id_tag for session in ChargingSession.objects.running()} == {CARD, FRIEND}


@in_virtual_time
async def test_a_card_that_owns_a_session_ends_it_although_another_car_waits(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    bench.hall.outlets[2].plug()
    await bench.until(lambda: bench.control_loop.points[2].waits_for_card)

    bench.hall.reader.tap(CARD)

    await bench.until(lambda: bench.messages("StopTransaction"))
    assert len(bench.messages("StartTransaction")) == 1
