"""When a card reader is asked, and what counts as a tap."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from hardware.runtime.pollers import READER_IDLE_S, READER_S, ReaderPoll
from hardware.runtime.state import ReaderRecord
from hardware.simulator.field import ReaderField
from station import clock
from station.domain.ports import Tag
from tests.fakes import VirtualLoop


class Reader:
    """A reader over the field of the simulated world."""

    def __init__(self, field: ReaderField) -> None:
        self.field = field
        self.asked_at_s: list[float] = []

    async def open(self) -> None:
        return

    async def poll(self) -> Sequence[Tag]:
        now_s = asyncio.get_running_loop().time()
        self.asked_at_s.append(now_s)
        uid = self.field.search(now_s=now_s)
        return () if uid is None else (Tag(uid=uid, technology="text"),)


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Any:
    loop = VirtualLoop()
    monkeypatch.setattr(clock, "monotonic_s", loop.time)
    yield loop
    loop.close()


class Taps:
    """Collects what the poll takes for taps."""

    def __init__(self) -> None:
        self.cards: list[str] = []

    def tapped(self, tag: Tag, _connector_id: int | None, _reader: object) -> None:
        self.cards.append(tag.uid)


def watch(loop: VirtualLoop, reader: Any, *, waits: bool, seconds: float) -> list[str]:
    """Poll for so long; return the taps."""
    taps: Any = Taps()
    point: Any = SimpleNamespace(waits_for_card=waits)
    poll = ReaderPoll(reader, ReaderRecord(connector_id=None), taps, points=[point])

    async def run() -> None:
        polling = asyncio.create_task(poll.run())
        await asyncio.sleep(seconds)
        polling.cancel()

    loop.run_until_complete(run())
    cards: list[str] = taps.cards
    return cards


def pauses(reader: Reader) -> set[float]:
    return {round(later - earlier, 3) for earlier, later in pairwise(reader.asked_at_s)}


def test_a_reader_is_asked_half_as_often_while_no_car_waits_for_a_card(loop):
    waited_for, idle = Reader(ReaderField()), Reader(ReaderField())
    watch(loop, waited_for, waits=True, seconds=5)
    watch(loop, idle, waits=False, seconds=5)

    assert pauses(waited_for) == {READER_S}
    assert pauses(idle) == {READER_IDLE_S}


def test_the_cards_a_b_a_within_half_a_second_are_three_taps_at_an_idle_reader(loop):
    field = ReaderField()
    for uid in ("A", "B", "A"):
        field.swipe(uid, now_s=loop.time())

    cards = watch(loop, Reader(field), waits=False, seconds=5)

    assert cards == ["A", "B", "A"]


def test_an_unsteady_hand_at_an_idle_reader_is_one_tap(loop):
    class Unsteady(Reader):
        async def poll(self) -> Sequence[Tag]:
            found = await super().poll()
            # Every other answer of the reader finds no card.
            return found if len(self.asked_at_s) % 2 else ()

    reader = Unsteady(ReaderField())
    reader.field.present, reader.field.since_s, reader.field.was_seen = "A", loop.time() + 10, True

    cards = watch(loop, reader, waits=False, seconds=3)

    assert cards == ["A"]
    assert pauses(reader) == {READER_S}
