"""A station: its control loop with level 1, the cluster's member, and its points.

It does what `hardware.runtime` does, with the same parts of `station.domain`, without a database and a serial line.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from station.domain.allocation import Allocation, Budget, Demand, Policy, State, allocate, confirmed, measured, step
from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant, MessageIsMalformed, PointReport, Report
from station.domain.limits import LimitSource, floor_to_step
from station.domain.units import MilliAmpere
from tests.reliability.cluster.boards import Board, Writer
from tests.reliability.cluster.cars import Car
from tests.reliability.cluster.network import Message
from tests.reliability.cluster.timeline import Clock, Timeline

# That of `hardware.runtime.limit_book`, which cannot be imported without Django; a test compares them.
WITHIN_STATION = Policy(raise_at_least=MilliAmpere(100), raise_after_s=0.0, settle_s=5.1, pause_settle_s=6.1)
EXCHANGE_S, RECOMPUTE_S = 2.0, 1.0


class Witness(Protocol):
    """Who is told what a station's points may and do draw."""

    def told(self, key: str, limit: int) -> None:
        """Take note that a board is being told a limit."""

    def taken(self, key: str, limit: int) -> None:
        """Take note that it holds it."""

    def dropped(self, key: str, limit: int) -> None:
        """Take note that it never heard it."""

    def switched_off(self, key: str) -> None:
        """Take note that it has no power."""

    def draws(self, key: str, current: Mapping[int, int]) -> None:
        """Take note of what the car draws."""


@dataclass(frozen=True, kw_only=True)
class StationPlan:
    """How a station is built; `ratings`: one for each point."""

    name: str
    phases: tuple[int, ...]
    ratings: tuple[int, ...]
    mains: int
    fallback: int
    clock_began_s: float
    clock_rate: float


class Point:
    """A charging point, its board and the car in front of it."""

    def __init__(
        self, number: int, plan: StationPlan, timeline: Timeline, dice: random.Random, witness: Witness
    ) -> None:
        self.number = number
        self.rating = plan.ratings[number - 1]
        self.key = f"{plan.name}/{number}"
        self.car: Car | None = None
        self.cable = self.rating
        self.active_since_s: float | None = None
        self._phases = plan.phases
        self._timeline = timeline
        self._dice = dice
        self._witness = witness
        self.board = Board(self.key, timeline, dice, witness, self._board_changed)

    def arrive(self, *, current: int, cable: int) -> None:
        """Let a car come that wants current."""
        self.cable = min(cable, self.rating)
        self.car = Car(
            self._timeline,
            self._dice,
            current=current,
            phases=self._phases[: self._dice.choice((1, 2, 3, 3))],
            drawn=lambda drawn: self._witness.draws(self.key, drawn),
        )
        self.car.offer(self.board.held)

    def leave(self) -> None:
        """Let it drive away."""
        if self.car is not None:
            self.car.leave()
        self.car, self.cable, self.active_since_s = None, self.rating, None

    def _board_changed(self) -> None:
        if self.car is not None:
            self.car.offer(self.board.held)


class Run:
    """One run of a station's process: it can be stopped for a while, and ends."""

    def __init__(self, station: "Station") -> None:
        self._station = station
        self._waiting: list[Callable[[], None]] = []
        self.is_stopped = False
        self.has_ended = False

    def guard(self, act: Callable[[], None]) -> Callable[[], None]:
        """Do this act only while this run lives; while it is stopped, it waits."""

        def guarded() -> None:
            if self.has_ended:
                return
            if self.is_stopped:
                self._waiting.append(act)
            else:
                act()

        return guarded

    def board_answered(self) -> None:
        """Think again: a board has confirmed a limit."""
        self._station.compute_soon()

    def go_on(self) -> None:
        """Do what has been waiting."""
        self.is_stopped = False
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            self.guard(act)()


class Station:
    """One station of the cluster; `send` carries its reports to the master."""

    def __init__(
        self,
        plan: StationPlan,
        timeline: Timeline,
        dice: random.Random,
        witness: Witness,
        *,
        make_member: Callable[["Station"], Member],
        send: Callable[["Station", Report], None],
    ) -> None:
        self.plan = plan
        self.clock = Clock(timeline, began_s=plan.clock_began_s, rate=plan.clock_rate)
        self.points = [Point(number, plan, timeline, dice, witness) for number in range(1, len(plan.ratings) + 1)]
        self.malformed = 0
        self._timeline = timeline
        self._dice = dice
        self._witness = witness
        self._make_member = make_member
        self._send = send
        self.run: Run | None = None

    # --- its life

    def start(self) -> None:
        """Start the process."""
        self.run = Run(self)
        self.writers = {
            point.number: Writer(point.board, self._timeline, self.clock, self.run) for point in self.points
        }
        self.member = self._make_member(self)
        now_s = self.clock.now_s
        held = {str(point.number): MilliAmpere(point.board.held) for point in self.points}
        self._level1 = State.assuming(held, now_s, policy=WITHIN_STATION)
        for point in self.points:
            if point.car is not None and point.active_since_s is None:
                point.active_since_s = now_s
        self._given: object = None
        self._is_pending = True
        self._asked: tuple[object, tuple[Allocation, ...]] = (None, ())
        self._soon = False
        self._next_s: float | None = None
        self._told: object = None
        self._exchange_again()

    def end(self, *, powerless: bool = False) -> None:
        """Let the process die; without power, the boards release nothing."""
        if self.run is not None:
            self.run.has_ended = True
        self.run = None
        if powerless:
            for point in self.points:
                point.board.lose_power()
                self._witness.switched_off(point.key)

    def stop(self) -> None:
        """Stop the process in the midst of what it does."""
        if self.run is not None:
            self.run.is_stopped = True

    def go_on(self) -> None:
        """Let it go on."""
        if self.run is not None and self.run.is_stopped:
            self.run.go_on()

    # --- what its points ask for

    def arrive(self, number: int, *, current: int, cable: int) -> None:
        """Let a car come to a point."""
        point = self.points[number - 1]
        point.arrive(current=current, cable=cable)
        if self.run is not None:
            point.active_since_s = self.clock.now_s
            self.compute_soon()

    def leave(self, number: int) -> None:
        """Let it drive away."""
        self.points[number - 1].leave()
        self.compute_soon()

    # --- the control loop

    def compute_soon(self) -> None:
        """Compute the limits anew as soon as the process gets to it."""
        if self.run is not None and not self._soon:
            self._soon = True
            self._timeline.after(self._dice.uniform(0.001, 0.02), self.run.guard(self._compute))

    def _demands(self, leased: Mapping[int, Mapping[LimitSource, MilliAmpere]]) -> list[Demand]:
        return [
            Demand(
                point_id=str(point.number),
                active=point.active_since_s is not None,
                limit=floor_to_step(min([point.rating, point.cable, *leased.get(point.number, {}).values()])),
                phases=frozenset(self.plan.phases),
                waiting_since_s=point.active_since_s or 0.0,
            )
            for point in self.points
        ]

    def _compute(self) -> None:
        self._soon = False
        if self.run is None:
            return
        now_s = self.clock.now_s
        leased = {point.number: self.member.limits_of(point.number, now_s) for point in self.points}
        given = [
            (
                min(leased[point.number].values(), default=None),
                point.active_since_s,
                point.cable,
                self.writers[point.number].held,
            )
            for point in self.points
        ]
        if given != self._given or self._is_pending:
            self._given = given
            self._share(leased, now_s)
        if self.member.is_report_due or self._changed_demand() != self._told:
            self._exchange()
        self._wake_at(now_s)

    def _share(self, leased: Mapping[int, Mapping[LimitSource, MilliAmpere]], now_s: float) -> None:
        """Do level 1 and tell the boards; with nothing new and nothing pending it would change nothing."""
        for point in self.points:
            writer = self.writers[point.number]
            self._level1 = confirmed(
                self._level1, str(point.number), MilliAmpere(writer.held), writer.since_s, policy=WITHIN_STATION
            )
            flowing = point.car.flowing if point.car else 0
            exceeds = flowing > max(writer.held * 11 // 10, 500)
            self._level1 = measured(self._level1, str(point.number), MilliAmpere(flowing if exceeds else 0))
        budget = Budget.uniform(MilliAmpere(self.plan.mains))
        demands = self._demands(leased)
        self._level1, commands = step(self._level1, demands, now_s, budget=budget, policy=WITHIN_STATION)
        self._is_pending = bool(commands) or self._level1.next_settled_s(now_s) is not None
        for point, demand in zip(self.points, demands, strict=True):
            share = self._level1.points[demand.point_id].commanded
            self.writers[point.number].aim(min(share, demand.limit) if demand.active else 0)

    def _wake_at(self, now_s: float) -> None:
        moments = [self._level1.next_settled_s(now_s), self.member.next_change_s(now_s)]
        due = [moment for moment in moments if moment is not None and moment > now_s]
        if due and self._next_s != min(due):
            self._next_s = min(due)
            assert self.run is not None
            self._timeline.at(self.clock.true_s(min(due)) + 0.001, self.run.guard(self.compute_soon))

    # --- the member's exchange with the master

    def _changed_demand(self) -> object:
        return [(point.active_since_s is None, point.cable, self.writers[point.number].held) for point in self.points]

    def _exchange_again(self) -> None:
        assert self.run is not None
        self._compute_soon_and_exchange()
        self._timeline.after(EXCHANGE_S * self._dice.uniform(0.98, 1.02), self.run.guard(self._exchange_again))

    def _compute_soon_and_exchange(self) -> None:
        self.compute_soon()
        self._exchange()

    def _exchange(self) -> None:
        self._told = self._changed_demand()
        report = self.member.report(self.clock.now_s, tuple(self._reported()))
        self._send(self, report)

    def _reported(self) -> Iterable[PointReport]:
        now_s = self.clock.now_s
        asks = [(point.active_since_s, point.cable) for point in self.points]
        if self._asked[0] != asks:
            budget = Budget.uniform(MilliAmpere(self.plan.mains))
            self._asked = asks, allocate(budget, self._demands({}), WITHIN_STATION, now_s=now_s)
        for point, share in zip(self.points, self._asked[1], strict=True):
            writer = self.writers[point.number]
            active = point.active_since_s is not None
            yield PointReport(
                number=point.number,
                active=active,
                limit=share.limit if active else MilliAmpere(point.rating),
                held=MilliAmpere(writer.held),
                flowing=MilliAmpere(point.car.flowing if point.car else 0),
                phases=frozenset(self.plan.phases),
                waiting_s=max(now_s - point.active_since_s, 0.0) if point.active_since_s is not None else 0.0,
            )

    def receive(self, message: Message) -> None:
        """Take what has come from the master."""
        if self.run is not None:
            self.run.guard(lambda: self._take(message))()

    def _take(self, message: Message) -> None:
        try:
            grant = Grant.decode(message) if isinstance(message, bytes) else message
        except MessageIsMalformed:
            self.malformed += 1
            return
        if isinstance(grant, Grant) and self.member.take(grant, self.clock.now_s):
            self.compute_soon()
