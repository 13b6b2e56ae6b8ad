"""How often a board is told a current that does not change."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from hardware.runtime.actuator import CURRENT_REPEATED_S, Actuator
from station import clock
from station.domain.ports import DeviceSilent
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
