"""One board that takes its time holds up neither the limits of the other points nor a newer limit of its own."""

import asyncio

import pytest

from hardware.runtime.limits import LimitLoop
from station.services.messages import ProfilesChanged
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, in_virtual_time, profile


@pytest.fixture
def points() -> int:
    return 2


class Undimmed:
    def budget_total(self, now_s: float) -> None:
        return None

    def next_change_s(self, now_s: float) -> None:
        return None


async def limit(bench: ControlLoopBench, number: int, amperes: float) -> asyncio.Task[None]:
    profile(amperes, connector_id=number)
    return asyncio.create_task(bench.control_loop.informed(ProfilesChanged()))


@in_virtual_time
async def test_a_limit_that_falls_does_not_wait_for_the_board_of_another_point(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)
    await bench.charge(2, card=FRIEND)
    bench.hall.controllers[1].latency_s = 8.0
    first = await limit(bench, 1, 10)
    await asyncio.sleep(0.5)
    # The energy manager's way: nobody but the loop of the limits writes.
    bench.control_loop.limits.point_changed(2)
    profile(8, connector_id=2)
    await bench.control_loop.limits.reload()
    bench.control_loop.limits.point_changed(2)

    await bench.until(lambda: bench.hall.outlets[2].offered == 8_000, seconds=1)
    await first


@in_virtual_time
async def test_of_many_changes_a_slow_board_is_written_the_newest(bench: ControlLoopBench) -> None:
    await bench.charge(1, card=CARD)
    bench.hall.controllers[1].latency_s = 2.0
    changes = []
    for amperes in (20, 12, 28, 9, 31, 7):
        changes.append(await limit(bench, 1, amperes))
        await asyncio.sleep(0.3)
    await asyncio.gather(*changes)
    await asyncio.sleep(10)

    assert bench.hall.outlets[1].offered == 7_000
    offered = [current for _, current, _ in bench.hall.outlets[1].history]
    assert offered[-1] == 7_000
    # Nothing is signalled that a newer computation has replaced before its turn came.
    assert 28_000 not in offered
    assert 31_000 not in offered


@in_virtual_time
async def test_a_limit_that_cannot_be_applied_for_an_unexpected_reason_ends_the_control(
    bench: ControlLoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.charge(1, card=CARD)

    async def fails(_effective: object) -> None:
        raise RuntimeError("nobody has thought of that")

    point = bench.control_loop.points[1]
    loop = LimitLoop(
        {1: point},
        bench.control_loop.state,
        bench.control_loop.records,
        leased=bench.control_loop.energy_manager,
        dimming=Undimmed(),
        cluster=bench.control_loop.cluster_shares,
        wall_clock=bench.hall.computer,
    )
    await loop.load()
    applied = point.apply_limit
    monkeypatch.setattr(point, "apply_limit", fails)
    # Whoever supervises starts another one; a control that goes on without limits would be worse.
    with pytest.raises(ExceptionGroup):
        await loop.run()
    monkeypatch.setattr(point, "apply_limit", applied)
