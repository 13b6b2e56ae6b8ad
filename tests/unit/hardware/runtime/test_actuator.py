"""How often a board is told a current that does not change."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hardware.runtime.actuator import CURRENT_REPEATED_S, LOCK_MOVES_S, Actuator
from station import clock
from station.domain.ports import ControllerStatus, DeviceSilent, Pilot
from station.domain.units import MilliAmpere


class Board:
    def __init__(self) -> None:
        self.capabilities = SimpleNamespace(lock=False)
        self.told: list[int] = []
        self.is_silent = False

    async def set_current(self, limit: MilliAmpere) -> None:
        if self.is_silent:
            raise DeviceSilent("no answer")
        self.told.append(limit)


class LockingBoard(Board):
    """Its bolt moves; it never shows energy released."""

    def __init__(self) -> None:
        super().__init__()
        self.capabilities = SimpleNamespace(lock=True)
        self.releases = 0

    async def lock(self) -> None:
        await asyncio.sleep(0)

    async def set_available(self, _available: bool) -> None:  # noqa: FBT001 - the value of the port
        await asyncio.sleep(0)

    async def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the value of the port
        await asyncio.sleep(0)
        self.releases += enabled

    async def set_current(self, limit: MilliAmpere) -> None:
        await super().set_current(limit)
        await asyncio.sleep(0)

    async def read_status(self) -> ControllerStatus:
        for _ in range(5):
            await asyncio.sleep(0)
        return self.shown(clock.monotonic_s())

    def shown(self, at_s: float) -> ControllerStatus:
        return ControllerStatus(
            read_at_s=at_s,
            pilot=Pilot.B,
            pwm_on=False,
            cable=MilliAmpere(32_000),
            locked=True,
            contactor_closed=False,
            enabled=False,
            offered=MilliAmpere(0),
        )


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    moment = [1000.0]
    monkeypatch.setattr(clock, "monotonic_s", lambda: moment[0])
    return moment


def made(board: Any) -> Actuator:
    actuator = Actuator(board, has_lock=False)
    actuator.enabled = True
    return actuator


def signal(actuator: Actuator, limit: int) -> None:
    asyncio.run(actuator.set_limit(MilliAmpere(limit)))


def test_a_confirmed_current_is_repeated_every_ten_seconds_and_a_new_one_told_at_once(now):
    board = Board()
    actuator = made(board)

    for second in range(21):
        now[0] = 1000.0 + second
        signal(actuator, 16_000)
    assert board.told == [16_000] * 3

    signal(actuator, 10_000)
    assert board.told[3:] == [10_000]
    assert CURRENT_REPEATED_S == 10.0


def test_what_was_not_confirmed_is_told_again_with_the_next_computation(now):
    board = Board()
    actuator = made(board)
    signal(actuator, 16_000)
    board.is_silent = True
    signal(actuator, 10_000)
    board.is_silent = False

    signal(actuator, 10_000)
    now[0] += 1.0
    signal(actuator, 10_000)

    assert board.told == [16_000, 10_000]


def test_a_poll_while_the_bolt_moves_does_not_begin_the_release_once_more(now):
    board: Any = LockingBoard()
    actuator = Actuator(board, has_lock=True)

    async def release() -> None:
        await actuator.set_limit(MilliAmpere(16_000))
        await actuator.lock()
        # The bolt is in by now; only the order of what follows is looked at.
        now[0] += LOCK_MOVES_S
        releasing = asyncio.create_task(actuator.enable())
        while not board.told:
            await asyncio.sleep(0)
        now[0] += 0.03
        await actuator.reconcile(board.shown(now[0]), current_flows=False)
        await releasing

    asyncio.run(release())

    assert board.told == [16_000]
    assert board.releases == 1
    now[0] += 1.0
    # A board that has lost the release is told again.
    asyncio.run(actuator.reconcile(board.shown(now[0]), current_flows=False))
    assert board.releases == 2


class TwoRequestBoard(Board):
    """Its release is two requests, a current and a switch; anything may come in between on the bus."""

    def __init__(self) -> None:
        super().__init__()
        self.is_released = False
        self.release_has_begun = asyncio.Event()

    async def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the value of the port
        if enabled:
            self.release_has_begun.set()
            for _ in range(5):
                await asyncio.sleep(0)
        self.is_released = enabled


async def test_a_withdrawal_that_comes_in_the_middle_of_a_release_has_the_last_word() -> None:
    board = TwoRequestBoard()
    actuator = Actuator(board, has_lock=False)  # type: ignore[arg-type]
    actuator.limit = MilliAmpere(16_000)
    releasing = asyncio.create_task(actuator.enable())
    await board.release_has_begun.wait()

    taken = await actuator.disable()
    await releasing

    assert taken
    assert not board.is_released
