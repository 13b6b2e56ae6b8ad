"""Charging profiles while the time is not known, and when the clock is set under a running session."""

import asyncio
from datetime import timedelta

from station.domain.limits import LimitSource
from station.models import ChargingProfileRow
from station.services.messages import ProfilesChanged
from tests.db.hardware.runtime.bench import ControlLoopBench, in_virtual_time, profile


async def schedule(bench: ControlLoopBench, *periods: tuple[int, float], absolute: bool) -> None:
    profile(32)
    row = ChargingProfileRow.objects.get()
    content = row.profile["chargingSchedule"]
    content["chargingSchedulePeriod"] = [{"startPeriod": start, "limit": amperes} for start, amperes in periods]
    if absolute:
        row.profile["chargingProfileKind"] = "Absolute"
        content["startSchedule"] = bench.clock.now().isoformat()
    row.save()
    await bench.control_loop.informed(ProfilesChanged())


def limit(bench: ControlLoopBench) -> tuple[int, LimitSource]:
    effective = bench.control_loop.limits.present[1].effective
    return effective.limit, effective.source


@in_virtual_time
async def test_until_the_time_is_known_the_least_value_of_a_schedule_holds(bench: ControlLoopBench) -> None:
    bench.hall.computer.trustworthy = False
    await schedule(bench, (0, 32), (3_600, 10), absolute=True)
    await bench.charge()
    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)
    assert limit(bench) == (10_000, LimitSource.UNTIMED_PROFILE)

    bench.hall.computer.trustworthy = True
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)


@in_virtual_time
async def test_a_schedule_relative_to_the_session_does_not_jump_when_the_clock_is_set(bench: ControlLoopBench) -> None:
    await schedule(bench, (0, 16), (600, 8), absolute=False)
    await bench.charge()
    await bench.until(lambda: bench.hall.outlets[1].current == 16_000)

    for hours in (5, -9):
        bench.clock.jumped = timedelta(hours=hours)
        await asyncio.sleep(3)
        assert bench.hall.outlets[1].current == 16_000

    await asyncio.sleep(600)
    assert bench.hall.outlets[1].current == 8_000
