"""Limits of an energy manager in a living station: at the fallback from its start, and again when nobody is heard."""

import asyncio
from collections.abc import Sequence

import pytest
from django.db import OperationalError

from hardware.runtime.modbus_server import listener
from loadmgmt import set_points
from loadmgmt.energy_manager import SetPoint
from loadmgmt.models import SetPointRow
from station.domain.limits import LimitSource
from station.domain.units import MilliAmpere
from station.models import LogEntry
from station.services import event_log
from station.services.messages import ConfigurationChanged
from tests.db.hardware.runtime.bench import ControlLoopBench, configure, in_virtual_time


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ports belong to somebody else: what holds must not depend on the server."""

    def listen(ports: Sequence[int]) -> None:
        raise OSError(98, "Address already in use", str(ports[0]))

    monkeypatch.setattr(listener, "listen", listen)


def limit(bench: ControlLoopBench, number: int = 1) -> tuple[int, LimitSource]:
    effective = bench.control_loop.limits.present[number].effective
    return effective.limit, effective.source


async def write(bench: ControlLoopBench, current_a: int, number: int = 1) -> None:
    manager = bench.control_loop.energy_manager
    manager.set(number, SetPoint(current=MilliAmpere(current_a * 1_000)), client="192.0.2.7")
    manager.heard([number], written=True)
    bench.control_loop.limits.point_changed(number)
    await asyncio.sleep(0.1)


async def switch(bench: ControlLoopBench, **items: str) -> None:
    configure({f"/modbus/{name}": value for name, value in items.items()})
    await bench.control_loop.informed(ConfigurationChanged())


@in_virtual_time
async def test_switched_on_the_fallback_holds_at_once_and_off_again_nothing_does(bench: ControlLoopBench) -> None:
    await bench.charge()

    await switch(bench, enabled="true")
    assert limit(bench) == (6_000, LimitSource.ENERGY_MANAGER_SILENT)
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] <= 6_000)

    await switch(bench, enabled="false")
    assert limit(bench)[0] == 32_000


@in_virtual_time
async def test_a_session_that_goes_on_after_a_restart_begins_at_the_fallback(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true")
    await write(bench, 16)
    await bench.charge()
    assert limit(bench) == (16_000, LimitSource.ENERGY_MANAGER)

    await bench.kill()
    await bench.start()
    await bench.until(lambda: bench.control_loop.limits.present)

    assert limit(bench) == (6_000, LimitSource.ENERGY_MANAGER_SILENT)
    bench.control_loop.energy_manager.heard([1])
    await bench.control_loop.limits.apply()
    assert limit(bench) == (16_000, LimitSource.ENERGY_MANAGER)


@in_virtual_time
async def test_silence_ends_at_the_fallback_without_anybody_s_doing(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true", watchdogS="5", fallbackCurrent="8000")
    await bench.charge()
    await write(bench, 20)
    assert limit(bench) == (20_000, LimitSource.ENERGY_MANAGER)

    await asyncio.sleep(5.1)

    assert limit(bench) == (8_000, LimitSource.ENERGY_MANAGER_SILENT)


@in_virtual_time
async def test_zero_pauses_the_session_and_does_not_end_it(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true")
    await write(bench, 16)
    await bench.charge()

    await write(bench, 0)
    await bench.phase("suspended_evse")
    await write(bench, 10)

    await bench.phase("charging")


@in_virtual_time
async def test_restless_set_points_close_the_contactor_once_a_minute_at_most(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true")
    await write(bench, 16)
    await bench.charge()
    await write(bench, 0)
    await bench.phase("suspended_evse")
    await write(bench, 16)
    await bench.phase("charging")

    await write(bench, 0)
    await bench.phase("suspended_evse")
    await write(bench, 16)

    await asyncio.sleep(50)
    bench.control_loop.energy_manager.heard([1])
    assert limit(bench) == (0, LimitSource.ENERGY_MANAGER)
    await bench.phase("charging")
    assert limit(bench) == (16_000, LimitSource.ENERGY_MANAGER)


@in_virtual_time
async def test_an_energy_manager_never_raises_what_others_limit(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true")

    await write(bench, 80)

    assert limit(bench) == (32_000, LimitSource.RATING)


@in_virtual_time
async def test_restless_set_points_are_kept_thinned_and_the_last_one_surely(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true")

    for current_a in [*range(6, 26)] * 5:
        await write(bench, current_a)
    await asyncio.sleep(15.0)

    kept = list(SetPointRow.objects.order_by("id").values_list("current_ma", flat=True))
    assert len(kept) <= 4
    assert kept[-1] == 25_000


@in_virtual_time
async def test_a_set_point_that_lowers_the_limit_is_kept_for_the_restart_that_may_come_next(
    bench: ControlLoopBench,
) -> None:
    await switch(bench, enabled="true")
    await write(bench, 25)
    await bench.until(lambda: SetPointRow.objects.filter(current_ma=25_000).exists())

    await write(bench, 10)

    await bench.until(lambda: SetPointRow.objects.filter(current_ma=10_000).exists(), seconds=1.0)


def refuse(*_: object, **__: object) -> None:
    raise OperationalError("database is locked")


@in_virtual_time
async def test_a_lower_set_point_that_could_not_be_written_is_written_as_soon_as_it_can_be(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await switch(bench, enabled="true")
    await write(bench, 25)
    await bench.until(lambda: SetPointRow.objects.filter(current_ma=25_000).exists())
    with monkeypatch.context() as locked:
        locked.setattr(set_points, "note", refuse)
        await write(bench, 10)
        assert not SetPointRow.objects.filter(current_ma=10_000).exists()

    await bench.until(lambda: SetPointRow.objects.filter(current_ma=10_000).exists(), seconds=5.0)

    await bench.kill()
    await bench.start()
    await bench.until(lambda: bench.control_loop.limits.present)
    bench.control_loop.energy_manager.heard([1])
    await bench.control_loop.limits.apply()
    assert limit(bench) == (10_000, LimitSource.ENERGY_MANAGER)


@in_virtual_time
async def test_a_silence_that_could_not_be_told_is_told_as_soon_as_it_can_be(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await switch(bench, enabled="true", watchdogS="5")
    with monkeypatch.context() as locked:
        locked.setattr(event_log, "begin", refuse)
        await asyncio.sleep(10)
        assert silences() == []

    await asyncio.sleep(5)

    assert silences() == [(1, False)]


@in_virtual_time
async def test_a_port_that_somebody_else_holds_is_told(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true", port="1502")

    shown = await bench.until(lambda: bench.control_loop.snapshots.take().modbus)

    await bench.until(lambda: bench.control_loop.energy_manager.problem)
    shown = bench.control_loop.snapshots.take().modbus
    assert shown is not None
    assert (shown.enabled, shown.ports, shown.problem_port) == (True, (), 1502)


def silences() -> list[tuple[int | None, bool]]:
    """Return what the event log says of silence: the charging point, and whether it is over."""
    rows = LogEntry.objects.filter(code="energy_manager.silent").order_by("id")
    return [(row.connector_id, row.cleared_at is not None) for row in rows]


@in_virtual_time
async def test_silence_is_told_once_when_it_begins_and_once_when_it_has_surely_ended(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true", watchdogS="30")
    await asyncio.sleep(20)
    assert silences() == []

    await asyncio.sleep(20)
    assert silences() == [(1, False)]

    for _ in range(4):
        # It is heard now and then, and silent again in between.
        await write(bench, 10)
        await asyncio.sleep(50)
    assert silences() == [(1, False)]

    for _ in range(8):
        await write(bench, 10)
        await asyncio.sleep(10)
    assert silences() == [(1, True)]


@in_virtual_time
async def test_who_switches_the_server_off_is_told_of_no_silence_any_more(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true", watchdogS="5")
    await asyncio.sleep(10)
    assert silences() == [(1, False)]

    await switch(bench, enabled="false")
    await asyncio.sleep(1)

    assert silences() == [(1, True)]


@in_virtual_time
async def test_a_server_that_ends_by_a_mistake_is_opened_anew_and_the_control_goes_on(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[int] = []

    async def serve(_listener: listener.Listener, _sockets: Sequence[object]) -> None:
        served.append(1)
        if len(served) == 1:
            raise RuntimeError("a mistake")
        await asyncio.Event().wait()

    monkeypatch.setattr(listener, "listen", lambda _ports: [])
    monkeypatch.setattr(listener.Listener, "serve", serve)

    await switch(bench, enabled="true")
    await bench.until(lambda: len(served) == 2)

    await switch(bench, enabled="false")
    await bench.until(lambda: bench.control_loop.energy_manager.ports == ())
