"""The record of a session says what has limited it, and for how long."""

import asyncio

from station.domain.commands import StopSession
from station.models import ChargingSession
from station.services.messages import ConfigurationChanged, ProfilesChanged
from tests.db.hardware.runtime.bench import ControlLoopBench, configure, in_virtual_time, profile


async def end(bench: ControlLoopBench) -> ChargingSession:
    await bench.command(StopSession(connector_id=1))
    await bench.until(lambda: not ChargingSession.objects.running().exists())
    return ChargingSession.objects.get()


@in_virtual_time
async def test_each_source_counts_for_as_long_as_it_set_the_current(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(60)
    profile(10)
    await bench.control_loop.informed(ProfilesChanged())
    await asyncio.sleep(120)
    configure({"/power/station/mainsMaxCurrent": "8000"})
    await bench.control_loop.informed(ConfigurationChanged())
    await asyncio.sleep(300)
    # A car that wants nothing is not limited.
    bench.hall.outlets[1].set_ready(ready=False)
    await asyncio.sleep(600)

    found = (await end(bench)).limited_by
    assert sorted(found) == ["charging_profile", "station_mains"]
    assert 118 <= found["charging_profile"] <= 122
    assert 298 <= found["station_mains"] <= 306


@in_virtual_time
async def test_what_was_noted_before_a_restart_is_not_lost(bench: ControlLoopBench) -> None:
    profile(10)
    await bench.charge()
    await asyncio.sleep(120)
    await bench.kill()
    await bench.start()
    await asyncio.sleep(60)

    # What was counted since the last note, ten seconds at most, is lost with the process.
    assert 165 <= (await end(bench)).limited_by["charging_profile"] <= 182


@in_virtual_time
async def test_a_session_at_its_rated_current_is_limited_by_nothing(bench: ControlLoopBench) -> None:
    await bench.charge()
    await asyncio.sleep(120)

    assert (await end(bench)).limited_by == {}
