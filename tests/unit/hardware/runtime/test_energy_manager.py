"""Which set-points of an energy manager are kept, and when."""

from collections.abc import Callable
from typing import Any

import pytest

from hardware.runtime import energy_manager
from hardware.runtime.energy_manager import EnergyManager
from loadmgmt.energy_manager import SetPoint
from station.domain.units import MilliAmpere


class Records:
    """A database; a test says what else happens while it writes."""

    def __init__(self) -> None:
        self.written: list[int | None] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def execute(self, _verb: object, _number: int, set_point: SetPoint, **_: object) -> None:
        self.meanwhile()
        self.written.append(set_point.current)


async def test_a_lower_set_point_that_comes_while_a_higher_one_is_written_is_kept_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(energy_manager, "TRAIL_SPAN_S", 0.0)
    records: Any = Records()
    manager = EnergyManager([1], records, metered=())

    def write(current_a: int) -> None:
        manager.set(1, SetPoint(current=MilliAmpere(current_a * 1_000)), client="192.0.2.7")

    write(10)
    await manager.keep_trail()
    write(20)
    manager.is_changed.clear()
    # Not lower than what is kept, and lower than what is being written.
    records.meanwhile = lambda: write(15)
    await manager.keep_trail()

    assert records.written == [10_000, 20_000]
    assert manager.is_changed.is_set()
