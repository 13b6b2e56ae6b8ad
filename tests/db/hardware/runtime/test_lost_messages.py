"""Settings whose message was lost: the look at the tables finds them, also when the database is busy in between."""

import asyncio
from typing import Any

import pytest
from django.db import OperationalError
from django.db.models import QuerySet

from station.models import ChargingProfileRow
from station.services import configuration
from station.services.messages import ConfigurationChanged, ProfilesChanged
from tests.db.hardware.runtime.bench import ControlLoopBench, configure, in_virtual_time, profile


class BusyOnce:
    """Refuses one question about the charging profiles, after a change was made that nobody tells of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ask = QuerySet.aggregate
        self.is_armed = self.has_refused = False

        def aggregate(rows: QuerySet[Any], *args: Any, **options: Any) -> Any:
            if self.is_armed and rows.model is ChargingProfileRow:
                self.is_armed, self.has_refused = False, True
                raise OperationalError("database is locked")
            return self._ask(rows, *args, **options)

        monkeypatch.setattr(QuerySet, "aggregate", aggregate)


@in_virtual_time
async def test_a_lower_limit_of_the_mains_is_taken_although_the_look_that_found_it_fails(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = BusyOnce(monkeypatch)
    await bench.charge()
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)

    configure({"/power/station/mainsMaxCurrent": "10000"})
    busy.is_armed = True

    await bench.until(lambda: busy.has_refused)
    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)


@in_virtual_time
async def test_what_changed_before_the_first_look_is_taken_although_that_fails(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = BusyOnce(monkeypatch)

    class Watch(configuration.ConfigurationWatch):
        def __init__(self) -> None:
            if not busy.has_refused:
                configure({"/power/station/mainsMaxCurrent": "10000"})
                busy.is_armed = True
            super().__init__()

    monkeypatch.setattr(configuration, "ConfigurationWatch", Watch)
    await bench.kill()
    await bench.start()
    await bench.until(lambda: busy.has_refused)
    await bench.charge()

    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)


@in_virtual_time
async def test_a_limit_that_is_lowered_again_before_the_next_look_is_taken(bench: ControlLoopBench) -> None:
    """A page raises it and says so, a command takes that back: the look finds what it has seen."""
    configure({"/power/station/mainsMaxCurrent": "10000"})
    await bench.charge()
    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)
    await asyncio.sleep(10)

    configure({"/power/station/mainsMaxCurrent": "20000"})
    await bench.control_loop.informed(ConfigurationChanged())
    await bench.until(lambda: bench.hall.outlets[1].current == 20_000, seconds=1.0)
    configure({"/power/station/mainsMaxCurrent": "10000"})

    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)


@in_virtual_time
async def test_a_profile_whose_message_was_lost_is_taken(bench: ControlLoopBench) -> None:
    await bench.charge()
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)

    profile(16.0, connector_id=1)

    await bench.until(lambda: bench.hall.outlets[1].current == 16_000)


@in_virtual_time
async def test_a_profile_that_is_cleared_again_before_the_next_look_is_gone(bench: ControlLoopBench) -> None:
    profile(10.0, connector_id=1)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.charge()
    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)
    await asyncio.sleep(10)

    # Of a higher level, so that it allows more.
    profile(20.0, connector_id=1, level=5)
    await bench.control_loop.informed(ProfilesChanged())
    await bench.until(lambda: bench.hall.outlets[1].current == 20_000, seconds=1.0)
    ChargingProfileRow.objects.filter(stack_level=5).delete()

    await bench.until(lambda: bench.hall.outlets[1].current == 10_000)
