"""The sum of what cars may draw, per phase of the mains, whatever boards make of what they are told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.runtime.actuator import HeldLimit
from hardware.runtime.limit_book import Framework, LimitBook
from station.domain.limits import EffectiveLimit, LimitSource
from station.domain.units import PAUSE, MilliAmpere

MAINS, RATING = MilliAmpere(32_000), MilliAmpere(32_000)
# IEC 61851-1 table A.6: a car follows a lower limit within 5 s, and the end of the signal within 6 s.
FOLLOWS_S, ENDS_S = 5.0, 6.0
TICK_S = 0.5
AT = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass
class Write:
    """A command under way: when the board carries it out, and when that is confirmed; None: never."""

    limit: MilliAmpere
    carried_out_s: float | None
    ends_s: float
    is_confirmed: bool


@dataclass
class Board:
    """A controller with its car, which draws all it may and follows as late as it may."""

    number: int
    connected_phases: int = 3
    delay_s: float = 0.0
    answers: bool = True
    hears: bool = True
    own: MilliAmpere = RATING
    session: Any = None
    limit: MilliAmpere = PAUSE
    write: Write | None = None
    late: list[Write] = field(default_factory=list)
    held: HeldLimit | None = field(default_factory=lambda: HeldLimit(limit=PAUSE, since_s=0.0))
    before: list[tuple[MilliAmpere, float]] = field(default_factory=list)
    blocked = False
    flowing = PAUSE
    status = None

    @property
    def actuator(self) -> "Board":
        return self

    def drawn(self, now_s: float) -> int:
        return max([self.limit, *(limit for limit, until_s in self.before if now_s < until_s)])

    def tell(self, limit: MilliAmpere, now_s: float) -> None:
        """Send a command when none is under way; from here on the board may hold the higher one."""
        assert self.held is not None
        if self.write is not None or (limit == self.limit == self.held.limit):
            return
        carried_out_s = now_s + self.delay_s if self.hears else None
        self.write = Write(limit, carried_out_s, now_s + max(self.delay_s, TICK_S), self.answers and self.hears)
        if limit > self.held.limit:
            self.held = HeldLimit(limit=limit, since_s=self.held.since_s)

    def go_on(self, now_s: float) -> None:
        """Let the board carry out what it has heard, and the driver what it gets for it."""
        for each in [*self.late, *([self.write] if self.write else [])]:
            if each.carried_out_s is not None and each.carried_out_s <= now_s:
                until_s = now_s + (ENDS_S if each.limit == PAUSE else FOLLOWS_S)
                if each.limit < self.limit:
                    self.before.append((self.limit, until_s))
                self.limit, each.carried_out_s = each.limit, None
        if self.write is not None and self.write.ends_s <= now_s:
            if self.write.is_confirmed:
                self.held = HeldLimit(limit=self.write.limit, since_s=now_s)
            elif self.write.carried_out_s is not None:
                self.late.append(self.write)
            self.write = None


class Alone:
    """No cluster."""

    def limits_of(self, _number: int, _now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        return {}

    def next_change_s(self, _now_s: float) -> None:
        return None


class Own:
    """What every other source leaves the points."""

    def __init__(self, boards: Mapping[int, Board]) -> None:
        self._boards = boards

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        return {LimitSource.ENERGY_MANAGER: self._boards[number].own}

    def next_change_s(self, now_s: float) -> None:
        return None

    def budget_total(self, now_s: float) -> None:
        return None


STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.sampled_from(["own", "session", "delay", "answers", "hears"]),
        st.sampled_from([0, 6_000, 10_000, 20_000, 32_000]),
        st.sampled_from([0.5, 1.0, 4.5, 7.0]),
    ),
    max_size=16,
)


@settings(max_examples=60)
@given(STEPS, st.sampled_from([(3, 3), (1, 3), (1, 1)]))
def test_whatever_boards_do_the_cars_may_draw_no_more_than_the_mains_on_any_phase(
    steps: list[tuple[int, str, int, float]], wired: tuple[int, int]
) -> None:
    boards = {number: Board(number, connected_phases=phases) for number, phases in enumerate(wired, start=1)}
    own = Own(boards)
    book = LimitBook(own, own, Alone())
    book.framework = Framework(mains=MAINS, rating=RATING, rotations={1: "RST", 2: "STR"})
    points: Any = boards.values()
    now_s, sessions = 100.0, 0

    for number, what, value, lasts_s in steps:
        board = boards[number]
        match what:
            case "own":
                board.own = MilliAmpere(value)
            case "session":
                sessions += 1
                begun = SimpleNamespace(id=sessions, began_s=now_s, suspended=False)
                board.session = None if board.session else begun
            case "delay":
                board.delay_s = value / 8_000
            case "answers":
                board.answers = not board.answers
            case _:
                board.hears = not board.hears
        ends_s = now_s + lasts_s
        while now_s < ends_s:
            now_s += TICK_S
            for each in boards.values():
                each.go_on(now_s)
            present = book.compute(points, AT + timedelta(seconds=now_s), now_s, station_blocked=False)
            for each in boards.values():
                each.tell(present[each.number].effective.limit if each.session else PAUSE, now_s)
            for phase in (1, 2, 3):
                drawn = [
                    each.drawn(now_s)
                    for each in boards.values()
                    if phase in book.framework.phases_of(each)  # type: ignore[arg-type]
                ]
                assert sum(drawn) <= MAINS


def test_the_others_make_room_for_a_board_that_does_not_take_a_reduction() -> None:
    boards = {number: Board(number) for number in (1, 2)}
    own = Own(boards)
    book = LimitBook(own, own, Alone())
    book.framework = Framework(mains=MAINS, rating=RATING)
    points: Any = boards.values()
    now_s = 100.0

    def go_on(lasts_s: float) -> None:
        nonlocal now_s
        ends_s = now_s + lasts_s
        while now_s < ends_s:
            now_s += TICK_S
            for each in boards.values():
                each.go_on(now_s)
            present = book.compute(points, AT + timedelta(seconds=now_s), now_s, station_blocked=False)
            for each in boards.values():
                each.tell(present[each.number].effective.limit, now_s)

    for number, board in boards.items():
        board.session = SimpleNamespace(id=number, began_s=now_s, suspended=False)
    go_on(20)
    assert [board.limit for board in boards.values()] == [16_000, 16_000]

    boards[1].hears = False
    book.framework = Framework(mains=MilliAmpere(20_000), rating=RATING)
    go_on(20)
    assert [board.drawn(now_s) for board in boards.values()] == [16_000, PAUSE]

    boards[1].hears = True
    go_on(90)
    assert [board.limit for board in boards.values()] == [10_000, 10_000]


class Lends(Alone):
    """A cluster that lends every point what it is told to."""

    def __init__(self, limits: Mapping[int, MilliAmpere]) -> None:
        self._limits = limits

    def limits_of(self, number: int, _now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        return {LimitSource.CLUSTER: self._limits[number]}


class Dims:
    """A grid operator who leaves 4,200 W."""

    def next_change_s(self, now_s: float) -> None:
        return None

    def budget_total(self, now_s: float) -> MilliAmpere:
        return MilliAmpere(18_260)


def _points(boards: Mapping[int, Board]) -> Any:
    return boards.values()


def _book_of_two(boards: Mapping[int, Board], *, mains: int, dims: bool, lent: Mapping[int, MilliAmpere]) -> LimitBook:
    for number, board in boards.items():
        board.session = SimpleNamespace(id=number, began_s=float(number), suspended=False)
    book = LimitBook(Own(boards), Dims() if dims else Own(boards), Lends(lent))
    book.framework = Framework(mains=MilliAmpere(mains), rating=RATING)
    return book


@pytest.mark.parametrize(
    ("mains", "own", "dims", "source"),
    [
        (10_000, 32_000, False, LimitSource.STATION_MAINS),
        (63_000, 32_000, True, LimitSource.GRID_OPERATOR),
        (63_000, 6_000, False, LimitSource.ENERGY_MANAGER),
        (63_000, 0, False, LimitSource.ENERGY_MANAGER),
    ],
)
def test_where_the_cluster_lends_all_it_was_asked_for_the_reason_is_named_for_which_it_was_asked_for_no_more(
    *, mains: int, own: int, dims: bool, source: LimitSource
) -> None:
    boards = {number: Board(number, own=MilliAmpere(own)) for number in (1, 2)}
    asked = _book_of_two(boards, mains=mains, dims=dims, lent={1: PAUSE, 2: PAUSE}).requests(
        _points(boards), AT, 10.0, station_blocked=False
    )
    book = _book_of_two(boards, mains=mains, dims=dims, lent=asked)

    found = book.compute(_points(boards), AT, 10.0, station_blocked=False)

    # The second point is the one that gets nothing where there is not enough for two.
    assert [found[number].effective.source for number in (1, 2)] == [source, source]
    assert all(found[number].effective.limit == asked[number] // 100 * 100 for number in (1, 2))
    # An energy manager reads in register 134 what others leave it: its own limit must not come back from the cluster.
    if source is LimitSource.ENERGY_MANAGER:
        assert all(LimitSource.CLUSTER not in found[number].sources for number in (1, 2))


def test_where_the_cluster_lends_less_than_it_was_asked_for_it_is_the_cluster_that_limits() -> None:
    boards = {number: Board(number) for number in (1, 2)}
    book = _book_of_two(boards, mains=63_000, dims=False, lent={1: MilliAmpere(8_000), 2: PAUSE})

    found = book.compute(_points(boards), AT, 10.0, station_blocked=False)

    assert [found[number].effective for number in (1, 2)] == [
        EffectiveLimit(limit=MilliAmpere(8_000), source=LimitSource.CLUSTER),
        EffectiveLimit(limit=PAUSE, source=LimitSource.CLUSTER),
    ]


def test_a_point_that_rests_while_the_grid_operator_dims_names_the_grid_operator() -> None:
    boards = {number: Board(number) for number in (1, 2)}
    lent = {1: RATING, 2: RATING}
    book = _book_of_two(boards, mains=64_000, dims=False, lent=lent)
    for now_s, current in ((10.0, RATING), (20.0, PAUSE), (30.0, RATING)):
        # The second one has just gone on after a pause, so its next pause lasts.
        lent[2] = current
        book.compute(_points(boards), AT, now_s, station_blocked=False)
    book._dimming = Dims()
    lent |= book.requests(_points(boards), AT, 40.0, station_blocked=False)
    book.compute(_points(boards), AT, 40.0, station_blocked=False)

    lent |= book.requests(_points(boards), AT, 41.0, station_blocked=False)
    found = book.compute(_points(boards), AT, 41.0, station_blocked=False)

    assert [found[number].effective.source for number in (1, 2)] == [LimitSource.GRID_OPERATOR] * 2
    assert found[2].effective.limit == PAUSE
