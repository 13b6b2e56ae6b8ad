"""No energy without the lock, and no open lock under current: also when a board restarts or its line comes back."""

import asyncio

import pytest

from station.domain.faults import FaultCode
from tests.db.hardware.runtime.bench import CARD, ControlLoopBench, in_virtual_time


def forget(bench: ControlLoopBench, *, released: bool = False) -> None:
    """Let the board restart: what it was commanded is gone (`released`: but for the release)."""
    outlet = bench.hall.outlets[1]
    outlet.released, outlet.offered = released, 32_000
    outlet.lock_commanded, outlet.lock_at_s = False, bench.loop.time()
    outlet.settle()


@pytest.mark.parametrize("released", [False, True])
@pytest.mark.parametrize("bolt_takes_s", [0.0, 0.15])
@in_virtual_time
async def test_a_board_that_restarted_is_locked_before_it_is_released(
    bench: ControlLoopBench, bolt_takes_s: float, *, released: bool
) -> None:
    await bench.charge()
    outlet, controller = bench.hall.outlets[1], bench.hall.controllers[1]
    outlet.bolt_takes_s = bolt_takes_s
    commands: list[str] = []
    lock, enable = controller.lock, controller.set_enabled

    async def note_lock() -> None:
        await lock()
        commands.append("lock")

    async def note_enable(enabled: bool) -> None:  # noqa: FBT001 - the port's signature
        if enabled:
            assert outlet.bolt_in
        await enable(enabled)
        commands.append("release" if enabled else "withdraw")

    controller.lock, controller.set_enabled = note_lock, note_enable
    forget(bench, released=released)
    await bench.until(lambda: commands[-1:] == ["release"])

    assert commands == [*(["withdraw"] if released else []), "lock", "release"]
    await bench.until(lambda: outlet.current == 32_000)


@in_virtual_time
async def test_a_board_that_restarted_while_its_line_was_dead_is_locked_first(bench: ControlLoopBench) -> None:
    await bench.charge()
    controller = bench.hall.controllers[1]
    controller.silent = True
    await asyncio.sleep(3)
    forget(bench)
    await asyncio.sleep(3)
    controller.silent = False

    # `broken_promises` would hold any release before the bolt is in.
    await bench.until(lambda: bench.hall.outlets[1].current == 32_000)


@in_virtual_time
async def test_a_bolt_that_jams_after_a_restart_of_the_board_gets_no_energy(bench: ControlLoopBench) -> None:
    await bench.charge()
    outlet = bench.hall.outlets[1]
    forget(bench)
    outlet.bolt_takes_s = 0.0
    assert not outlet.bolt_in
    outlet.bolt_takes_s, outlet.bolt_jammed = 0.15, True
    await asyncio.sleep(30)

    assert not outlet.released
    assert bench.control_loop.points[1].active_faults == {FaultCode.CONNECTOR_LOCK_FAILURE}


@in_virtual_time
async def test_a_lock_that_slips_under_current_ends_the_current_first(bench: ControlLoopBench) -> None:
    await bench.charge(ends_s=2.5)
    outlet = bench.hall.outlets[1]
    outlet.lock_commanded, outlet.lock_at_s = False, bench.loop.time()
    await bench.until(lambda: not outlet.released)

    await bench.until(lambda: outlet.current == 32_000)
    assert outlet.bolt_in


@in_virtual_time
async def test_an_unlock_that_was_lost_is_not_repeated_under_current(bench: ControlLoopBench) -> None:
    await bench.charge()
    bench.hall.reader.tap(CARD)
    await bench.phase("finishing")
    outlet = bench.hall.outlets[1]
    # The contactor has welded and the car takes what it gets, while the bolt is in again.
    outlet.target = lambda: 10_000
    outlet.settle()
    await asyncio.sleep(3)
    assert outlet.current == 10_000
    bench.broken_promises.clear()
    outlet.lock_commanded, outlet.lock_at_s = True, bench.loop.time()
    await asyncio.sleep(5)
    assert outlet.lock_commanded

    del outlet.target
    outlet.settle()
    await bench.until(lambda: not outlet.lock_commanded)
