"""A station on the bench; a module with two charging points says so with a fixture `points` of its own."""

import pytest

from station.paths import DataDirectory
from tests.db.hardware.runtime.bench import CARD, FRIEND, ControlLoopBench, list_card


@pytest.fixture
def points() -> int:
    return 1


@pytest.fixture
def bench(points: int, db: None, data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> ControlLoopBench:
    bench = ControlLoopBench(monkeypatch, points=points)
    list_card(CARD)
    list_card(FRIEND)
    return bench
