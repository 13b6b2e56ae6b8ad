"""The grid operator's control box at a living station: what it leaves, and what is kept of it (§ 14a EnWG)."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from hardware.runtime.limit_book import LimitBook
from station.domain.configuration import ConfigurationRefused
from station.domain.limits import LimitSource
from station.models import DimmingIntervention, LogEntry
from station.services import dimming, hardware_description
from station.services.messages import ConfigurationChanged
from tests.db.hardware.runtime.bench import FRIEND, ControlLoopBench, configure, in_virtual_time


@pytest.fixture
def points() -> int:
    return 2


@pytest.fixture(autouse=True)
def wired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_description, "has_dimming_input", lambda: True)


async def switch(bench: ControlLoopBench, **items: str) -> None:
    configure({f"/dimming/{name}": value for name, value in items.items()})
    await bench.control_loop.informed(ConfigurationChanged())


async def wire(bench: ControlLoopBench, *, closed: bool = False, **items: str) -> None:
    """Wire a control box and begin anew with it; enabled, unless the items say otherwise."""
    bench.hall.io.dimming_closed = closed
    await bench.kill()
    configure({f"/dimming/{name}": value for name, value in ({"enabled": "true"} | items).items()})
    await bench.start()
    await asyncio.sleep(2.5)


def limit(bench: ControlLoopBench, number: int) -> tuple[int, LimitSource]:
    effective = bench.control_loop.limits.present[number].effective
    return effective.limit, effective.source


def offered(bench: ControlLoopBench) -> int:
    """Return what the boards release together, summed over three phases."""
    return sum(3 * outlet.offered for outlet in bench.hall.outlets.values() if outlet.released)


def kept() -> list[DimmingIntervention]:
    return list(DimmingIntervention.objects.order_by("id"))


@in_virtual_time
async def test_within_two_seconds_two_cars_share_the_set_power_and_one_of_them_waits(bench: ControlLoopBench) -> None:
    await wire(bench)
    await bench.charge(1)
    await bench.charge(2, card=FRIEND)
    assert limit(bench, 1)[1] is not LimitSource.GRID_OPERATOR

    bench.hall.io.dimming_closed = True
    await bench.until(lambda: offered(bench) * 230 <= 4_200_000, seconds=2.0)

    assert limit(bench, 1) == (6_000, LimitSource.GRID_OPERATOR)
    assert limit(bench, 2) == (0, LimitSource.GRID_OPERATOR)
    await bench.until(lambda: kept() and kept()[0].carried_out_at is not None)
    assert kept()[0].carried_out_at - kept()[0].began_at < timedelta(seconds=15)

    bench.hall.io.dimming_closed = False
    await bench.until(lambda: bench.control_loop.points[2].state.phase == "charging", seconds=30)
    await bench.until(lambda: limit(bench, 1)[1] is not LimitSource.GRID_OPERATOR)
    (one,) = kept()
    assert (one.power_w, one.begun_by, one.ended_by) == (4_200, "contact", "contact")
    assert one.ended_at is not None
    assert one.drawn.mean_w is not None


@in_virtual_time
async def test_the_contact_may_be_one_that_opens(bench: ControlLoopBench) -> None:
    await wire(bench, closed=True, activeWhen="open")
    assert not bench.control_loop.dimming.is_active(bench.clock.monotonic_s())

    bench.hall.io.dimming_closed = False

    await bench.until(lambda: limit(bench, 1)[1] is LimitSource.GRID_OPERATOR, seconds=2.0)


@pytest.mark.parametrize(("closed_s", "open_s"), [(0.3, 0.7), (0.15, 0.5), (0.1, 0.4), (0.05, 0.05), (0.25, 0.25)])
def test_a_contact_that_bounces_begins_nothing(bench: ControlLoopBench, closed_s: float, open_s: float) -> None:
    async def scenario() -> None:
        await wire(bench)

        for _ in range(30):
            bench.hall.io.dimming_closed = True
            await asyncio.sleep(closed_s)
            bench.hall.io.dimming_closed = False
            await asyncio.sleep(open_s)

        assert kept() == []

    bench.run(scenario())


@pytest.mark.parametrize("choice", ["active", "inactive"])
def test_a_module_that_is_silent_from_the_start_counts_as_the_installer_chose(
    bench: ControlLoopBench, choice: str
) -> None:
    async def scenario() -> None:
        bench.hall.io.dimming_closed = False
        bench.hall.io.silent = True
        await bench.kill()
        configure({"/dimming/enabled": "true", "/dimming/whenSilent": choice})
        await bench.start()
        await bench.until(lambda: bench.control_loop.limits.present)
        assert (limit(bench, 1)[1] is LimitSource.GRID_OPERATOR) is (choice == "active")

        await asyncio.sleep(4.0)

        assert [row.begun_by for row in kept()] == (["silent"] if choice == "active" else [])
        assert LogEntry.objects.filter(code="dimming.silent", cleared_at=None).count() == 1
        bench.hall.io.silent = False
        await bench.until(lambda: not LogEntry.objects.filter(code="dimming.silent", cleared_at=None).exists())
        await bench.until(lambda: not DimmingIntervention.objects.running().exists())
        assert limit(bench, 1)[1] is not LimitSource.GRID_OPERATOR

    bench.run(scenario())


@in_virtual_time
async def test_silence_during_an_intervention_goes_on_with_it(bench: ControlLoopBench) -> None:
    await wire(bench, closed=True)
    await bench.until(kept)

    bench.hall.io.silent = True
    await asyncio.sleep(10)
    assert limit(bench, 1) == (6_000, LimitSource.GRID_OPERATOR)
    bench.hall.io.silent = False
    await asyncio.sleep(3)

    (one,) = kept()
    assert one.ended_at is None


@in_virtual_time
async def test_a_restart_goes_on_with_the_same_intervention_whatever_silence_counts_as(
    bench: ControlLoopBench,
) -> None:
    await wire(bench, closed=True, whenSilent="inactive")
    await bench.until(kept)

    for _ in range(3):
        await bench.kill()
        await asyncio.sleep(4)
        await bench.start()
        await bench.until(lambda: bench.control_loop.limits.present)
        assert limit(bench, 1) == (6_000, LimitSource.GRID_OPERATOR)
        await asyncio.sleep(3)
        assert limit(bench, 1) == (6_000, LimitSource.GRID_OPERATOR)

    (one,) = kept()
    assert one.ended_at is None
    assert LogEntry.objects.filter(code="dimming.active").count() == 1


@in_virtual_time
async def test_an_intervention_that_ended_while_nobody_looked_ends_after_the_restart(bench: ControlLoopBench) -> None:
    await wire(bench, closed=True)
    await bench.until(kept)
    await bench.kill()
    bench.hall.io.dimming_closed = False

    await bench.start()

    await bench.until(lambda: kept()[0].ended_at is not None, seconds=4)


@in_virtual_time
async def test_another_set_power_is_another_intervention_and_switching_off_ends_it(bench: ControlLoopBench) -> None:
    await wire(bench, closed=True)
    await bench.charge(1)
    await bench.until(kept)

    await switch(bench, powerW="7000")
    await bench.until(lambda: len(kept()) == 2)
    assert limit(bench, 1) == (10_100, LimitSource.GRID_OPERATOR)
    await switch(bench, enabled="false")
    await bench.until(lambda: kept()[1].ended_at is not None)

    assert [(row.power_w, row.ended_by) for row in kept()] == [(4_200, "settings"), (7_000, "settings")]
    assert limit(bench, 1)[1] is not LimitSource.GRID_OPERATOR


@in_virtual_time
async def test_a_clock_that_is_set_during_an_intervention_changes_nothing_of_its_length(
    bench: ControlLoopBench,
) -> None:
    await wire(bench, closed=True)
    await bench.until(kept)
    await asyncio.sleep(20)

    bench.clock.jumped -= timedelta(hours=3)
    await asyncio.sleep(20)
    bench.hall.io.dimming_closed = False
    await bench.until(lambda: kept()[0].ended_at is not None)

    (one,) = kept()
    assert one.ended_at is not None
    assert timedelta(seconds=38) < one.ended_at - one.began_at < timedelta(seconds=45)


@in_virtual_time
async def test_the_backend_reads_at_the_station_why_there_is_less_power(bench: ControlLoopBench) -> None:
    await wire(bench)

    def infos() -> list[tuple[str, str, str]]:
        return [
            (message["status"], message["error_code"], message["info"])
            for message in bench.channel_layer.sent
            if message["type"] == "status.changed" and message["connector_id"] == 0
        ]

    assert {info for _, _, info in infos()} == {""}
    bench.hall.io.dimming_closed = True
    await bench.until(lambda: ("Available", "NoError", "Dimmed by the grid operator to 4200 W") in infos())
    bench.hall.io.dimming_closed = False
    await bench.until(lambda: infos()[-1] == ("Available", "NoError", ""))

    def wake_ups() -> int:
        return sum(message["type"] == "dimming.changed" for message in bench.channel_layer.sent)

    await bench.until(lambda: wake_ups() == 2)


@in_virtual_time
async def test_what_is_not_writable_is_written_later_with_its_true_moments(bench: ControlLoopBench) -> None:
    await wire(bench)
    bench.database.refuses = lambda verb: verb in {"begin", "end"}
    bench.hall.io.dimming_closed = True
    await bench.until(lambda: limit(bench, 1)[1] is LimitSource.GRID_OPERATOR, seconds=2)
    began = bench.clock.now()
    await asyncio.sleep(5)
    bench.hall.io.dimming_closed = False
    await asyncio.sleep(5)

    bench.database.refuses = None

    await bench.until(kept)
    await bench.until(lambda: kept()[0].ended_at is not None)
    (one,) = kept()
    assert one.ended_at is not None
    assert abs(one.began_at - began) < timedelta(seconds=2)
    assert timedelta(seconds=4) < one.ended_at - one.began_at < timedelta(seconds=8)


def stand_still(bench: ControlLoopBench, seconds: float) -> None:
    """Let time pass in which this process does nothing at all (SIGSTOP, a busy computer)."""
    bench.loop.stand_still(seconds)


def never_dimmed(bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list of the moments at which a computation of limits counts with the grid operator, as they come."""
    dimmed: list[float] = []
    compute = LimitBook.compute

    def watched(book: LimitBook, *args: Any, **kwargs: Any) -> Any:
        computed = compute(book, *args, **kwargs)
        if any(LimitSource.GRID_OPERATOR in each.sources for each in computed.values()):
            dimmed.append(bench.clock.monotonic_s())
        return computed

    monkeypatch.setattr(LimitBook, "compute", watched)
    return dimmed


@pytest.mark.parametrize("stands_s", [1.2, 2.5, 4.5, 8.0])
def test_a_station_that_stood_still_itself_does_not_take_the_module_for_silent(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch, stands_s: float
) -> None:
    async def scenario() -> None:
        await wire(bench)
        await bench.charge(1)
        dimmed = never_dimmed(bench, monkeypatch)
        for later_s in (0.1, 0.3, 0.7, 1.1):
            await asyncio.sleep(later_s)
            stand_still(bench, stands_s)
            await asyncio.sleep(3)

        assert (dimmed, kept()) == ([], [])
        assert not LogEntry.objects.filter(code="dimming.silent").exists()
        assert bench.hall.outlets[1].current == 32_000

        # It is asked at once, and what it says counts within the usual time.
        stand_still(bench, stands_s)
        bench.hall.io.dimming_closed = True
        await bench.until(lambda: offered(bench) * 230 <= 4_200_000, seconds=2.0)

    bench.run(scenario())


@in_virtual_time
async def test_a_module_that_fell_silent_while_the_station_stood_still_counts_as_the_installer_chose(
    bench: ControlLoopBench,
) -> None:
    await wire(bench)
    stand_still(bench, 4.5)
    bench.hall.io.silent = True

    await bench.until(lambda: limit(bench, 1)[1] is LimitSource.GRID_OPERATOR, seconds=2.5)
    stand_still(bench, 4.5)
    await asyncio.sleep(0.1)
    assert limit(bench, 1)[1] is LimitSource.GRID_OPERATOR


@in_virtual_time
async def test_a_control_loop_that_is_replaced_asks_the_module_before_it_computes_limits(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wire(bench)
    await bench.charge(1)
    dimmed = never_dimmed(bench, monkeypatch)
    since_s = bench.loop.time()
    for comes_back in (True, False):
        await (bench.stop(comes_back=True) if comes_back else bench.kill())
        await bench.start()
        await asyncio.sleep(5)

    assert (dimmed, kept()) == ([], [])
    assert {current for at_s, current, _ in bench.hall.outlets[1].history if at_s > since_s} <= {32_000}
    assert "SuspendedEVSE" not in bench.statuses()


def test_it_cannot_be_switched_on_without_an_input(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_description, "has_dimming_input", lambda: False)

    with pytest.raises(ConfigurationRefused) as refusal:
        configure({"/dimming/enabled": "true"})

    assert refusal.value.problems[0].code == "no_dimming_input"


@pytest.mark.parametrize(("phases", "least"), [(3, 4_140), (1, 1_380)])
def test_the_least_power_is_what_one_car_needs(
    db: None, monkeypatch: pytest.MonkeyPatch, phases: int, least: int
) -> None:
    monkeypatch.setattr(
        hardware_description, "connected_phases", lambda connectors: dict.fromkeys(range(1, connectors + 1), phases)
    )
    configure({"ConnectorPhaseRotation": "0.RST,1.RST,2.RST"})

    configure({"/dimming/powerW": str(least)})
    with pytest.raises(ConfigurationRefused):
        configure({"/dimming/powerW": str(least - 1)})

    assert dimming.settings().total == 6_000 * phases
