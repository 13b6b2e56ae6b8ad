"""A pause holds at once and ends by itself, but no contactor is closed again and again, whoever changes the limit."""

import asyncio
from itertools import pairwise

import pytest

from station.domain.limits import RESUME_SPAN_S, LimitSource
from station.models import ChargingSession
from station.services.messages import ConfigurationChanged, ProfilesChanged
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, configure, in_virtual_time, profile
from tests.fakes import Outlet


@pytest.fixture
def points() -> int:
    return 2


def closings(outlet: Outlet) -> list[float]:
    """Return when current began to flow."""
    flowing = [(moment, current > 0) for moment, current, _ in outlet.history]
    return [moment for (_, before), (moment, now) in pairwise([(0.0, False), *flowing]) if now and not before]


async def limit(bench: ControlLoopBench, amperes: float, purpose: str) -> None:
    profile(amperes, purpose=purpose)
    await bench.control_loop.informed(ProfilesChanged())


@pytest.mark.parametrize("purpose", ["TxDefaultProfile", "ChargePointMaxProfile"])
@in_virtual_time
async def test_a_profile_that_flaps_does_not_wear_the_contactor_out(bench: ControlLoopBench, purpose: str) -> None:
    await bench.charge(1)
    outlet = bench.hall.outlets[1]
    for _ in range(30):
        await limit(bench, 0, purpose)
        await bench.until(lambda: not outlet.released, seconds=1)
        await asyncio.sleep(5)
        await limit(bench, 16, purpose)
        await asyncio.sleep(5)

    # The begin, the end of the first pause, and then one in each span.
    assert len(closings(outlet)) <= 2 + 300 // RESUME_SPAN_S
    await bench.until(lambda: outlet.current == 16_000, seconds=RESUME_SPAN_S)


@in_virtual_time
async def test_the_first_pause_ends_at_once_and_the_next_one_by_itself(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    outlet = bench.hall.outlets[1]
    await limit(bench, 5.9, "TxDefaultProfile")
    await bench.phase("suspended_evse")
    await limit(bench, 16, "TxDefaultProfile")
    await bench.until(lambda: outlet.current == 16_000, seconds=5)

    await limit(bench, 0, "TxDefaultProfile")
    await bench.phase("suspended_evse")
    assert bench.control_loop.limits.present[1].effective.source is LimitSource.CHARGING_PROFILE
    await limit(bench, 16, "TxDefaultProfile")
    # The profile gives 16 A again: nobody is told that it pauses the car.
    await asyncio.sleep(30)
    present = bench.control_loop.limits.present[1].effective
    assert (present.limit, present.source) == (0, LimitSource.CONTACTOR_REST)
    assert ChargingSession.objects.get().limited_by["contactor_rest"] >= 15
    await bench.until(lambda: outlet.current == 16_000, seconds=RESUME_SPAN_S)


@in_virtual_time
async def test_what_a_resting_point_cannot_take_the_other_one_gets(bench: ControlLoopBench) -> None:
    configure({"/power/station/mainsMaxCurrent": "32000"})
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    for amperes in (0, 32, 0, 32):
        profile(amperes, connector_id=1)
        await bench.control_loop.informed(ProfilesChanged())
        await asyncio.sleep(7)

    assert not bench.hall.outlets[1].released
    assert bench.hall.outlets[2].current == 32_000
    await bench.until(lambda: bench.hall.outlets[1].current == 16_000, seconds=RESUME_SPAN_S + 10)
    assert bench.hall.highest_sum() <= 32_000


@in_virtual_time
async def test_the_rest_of_a_session_does_not_hold_up_the_next_one(bench: ControlLoopBench) -> None:
    await bench.charge(1)
    for amperes in (0, 16, 0, 16):
        await limit(bench, amperes, "TxDefaultProfile")
        await asyncio.sleep(2)
    bench.hall.outlets[1].unplug()
    await bench.phase("available")

    await bench.charge(1, card=FRIEND)
    await bench.until(lambda: bench.hall.outlets[1].current == 16_000, seconds=2)
