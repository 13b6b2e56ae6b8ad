"""A cluster's world made from a seed, what happens in it, and what came of it."""

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from station.domain.allocation import Budget
from station.domain.cluster.messages import Grant, Report
from station.domain.units import MilliAmpere
from tests.reliability.cluster import product
from tests.reliability.cluster.checker import Checker, Supply
from tests.reliability.cluster.happenings import Happening, Scene, draw_happenings, draw_scene, total_of_fallbacks
from tests.reliability.cluster.master import Master
from tests.reliability.cluster.network import CUT, Network, Trouble
from tests.reliability.cluster.stations import Station
from tests.reliability.cluster.timeline import Timeline

# A lower limit has reached everybody when the leases of those who cannot be reached are over (30 s), their processes
# have gone on (10 s), their boards have taken the reduction and their cars have followed.
LOWER_WITHIN_S = 60.0
_BOARD_RECOVERS_S = 20.0
# A link in trouble may have carried its last lease a while before; until its end the master has to count with it.
_LEASE_MAY_BE_OVER_S = 20.0
# How much of the limit is used is looked at when so long nothing has changed.
USED_AFTER_S = 15.0
# After a fault everybody is heard again and knows his limit when so much time has passed.
_FAULT_IS_OVER_S = 60.0


@dataclass
class Outcome:
    """What came of a run. `used`: parts of the limit that were used, each 15 s after the last change.

    `unknowable`: how often the sum was too high by no more than silent boards held at stations that were cut off.
    """

    seed: int
    points: int = 0
    stations: int = 0
    virtual_s: float = 0.0
    acts: int = 0
    decisions: int = 0
    messages: int = 0
    message_bytes: int = 0
    violations: list[str] = field(default_factory=list)
    unknowable: int = 0
    used: list[float] = field(default_factory=list)
    faults: int = 0
    cars: int = 0


class World:
    """One seed's cluster; `in_bytes`: messages go through their codec, which takes a quarter of the time."""

    def __init__(
        self,
        seed: int,
        *,
        points: int | None = None,
        happenings: int = 24,
        faults: float = 0.5,
        scene: Scene | None = None,
        story: Iterable[Happening] | None = None,
        in_bytes: bool = True,
    ) -> None:
        dice = random.Random(seed)
        self.scene = scene or draw_scene(dice, points)
        self.story = tuple(draw_happenings(dice, self.scene, happenings, faults=faults) if story is None else story)
        self.outcome = Outcome(seed=seed)
        self.diary: list[str] = []
        self.timeline = Timeline()
        self.checker = Checker(self.timeline, self._violated)
        self.cluster = Supply(name="cluster", limit=self.scene.limit, unknowable=self._unknowable)
        self.network = Network(self.timeline, random.Random(seed + 1))
        self._dice = dice
        self._in_bytes = in_bytes
        self._limits = [self.scene.limit]
        self._totals: list[int] = []
        self._deaf_boards = 0
        self._deaf: Counter[tuple[str, str]] = Counter()
        self._links_in_trouble: Counter[str] = Counter()
        self._in_trouble_since_s: dict[str, float] = {}
        # Boards that take no command at stations nobody reaches: from when until when nobody can know what they hold.
        self._unheard: dict[str, tuple[float, float]] = {}
        self._is_moving = False
        self._faults = 0
        self._changed_s = 0.0
        # A leader that has never led waits, like one after a restart.
        self._fault_over_s = _FAULT_IS_OVER_S
        self.stations: list[Station] = []
        for plan in self.scene.stations:
            mains = Supply(name=f"{plan.name} mains", limit=plan.mains)
            for number in range(1, len(plan.ratings) + 1):
                self.checker.add(f"{plan.name}/{number}", plan.phases, (self.cluster, mains))
            self.stations.append(
                Station(
                    plan,
                    self.timeline,
                    dice,
                    self.checker,
                    make_member=lambda station: product.make_member(station, dice),
                    send=self._send_up,
                )
            )
        self.master = Master(
            self.stations[0],
            self.timeline,
            dice,
            make_leader=lambda station, predecessor: product.make_leader(self.scene, station, dice, predecessor),
            budget=self._budget,
            send=self._send_down,
        )
        self._by_name = {station.plan.name: station for station in self.stations}
        for station in self.stations:
            self.timeline.at(dice.uniform(0, 3), lambda station=station: self._start(station))
        for happening in self.story:
            self.timeline.at(happening.at_s, lambda each=happening: self._happen(each))

    def run(self, until_s: float | None = None) -> Outcome:
        """Let everything happen, and then some time pass."""
        last_s = max((each.at_s + each.lasts_s for each in self.story), default=0.0)
        self.timeline.run(until_s or last_s + 2 * USED_AFTER_S)
        outcome = self.outcome
        outcome.points = sum(len(station.points) for station in self.stations)
        outcome.stations = len(self.stations)
        outcome.virtual_s = self.timeline.now_s
        outcome.acts = self.timeline.acts_done
        outcome.decisions = self.master.decisions
        outcome.messages, outcome.message_bytes = self.network.sent, self.network.bytes_sent
        outcome.unknowable = self.cluster.times_unknowable
        return outcome

    # --- the way of messages

    def _send_up(self, station: Station, report: Report) -> None:
        message = report.encode() if self._in_bytes else report
        if station is self.master.station:
            self.timeline.after(0.0005, lambda: self.master.receive(message))
        else:
            self.network.send(station.plan.name, message, self.master.receive, up=True)

    def _send_down(self, name: str, grant: Grant) -> None:
        message = grant.encode() if self._in_bytes else grant
        station = self._by_name[name]
        if station is self.master.station:
            self.timeline.after(0.0005, lambda: station.receive(message))
        else:
            self.network.send(name, message, station.receive, up=False)

    # --- what happens

    def note(self, text: str) -> None:
        """Write into the diary."""
        self.diary.append(f"{self.timeline.now_s:9.3f} {text}")

    def _violated(self, text: str) -> None:
        self.note(f"VIOLATION {text}")
        self.outcome.violations.append(f"seed {self.outcome.seed} at {self.timeline.now_s:.3f} s: {text}")

    def _budget(self) -> Budget:
        limit = MilliAmpere(min(self._limits))
        total = MilliAmpere(min(self._totals)) if self._totals else None
        return Budget(l1=limit, l2=limit, l3=limit, total=total)

    def _start(self, station: Station) -> None:
        if station.run is None:
            station.start()
            if station is self.master.station and not self._is_moving:
                self.master.start()

    def _happen(self, happening: Happening) -> None:
        station = self.stations[happening.station]
        point = station.points[happening.point - 1]
        kind = happening.kind
        self.note(f"{kind} {point.key} {happening.lasts_s:.1f} s {happening.amount:g}")
        if kind == "arrive":
            if point.car is None:
                self.outcome.cars += 1
                cable = self._dice.choice((13_000, 20_000, 32_000, 32_000))
                station.arrive(happening.point, current=int(happening.amount), cable=cable)
        elif kind == "leave":
            station.leave(happening.point)
        elif kind == "wake":
            if point.car is not None:
                point.car.wake_rectifier()
            return
        elif kind == "vary":
            if point.car is not None:
                point.car.vary()
            return
        else:
            self._fail(happening, station)
        self._has_changed()

    def _fail(self, happening: Happening, station: Station) -> None:
        begin, end = self._fault_of(happening, station)
        is_fault = happening.kind not in {"limit", "dim"}
        self._faults += is_fault
        self.outcome.faults += 1
        begin()

        def over() -> None:
            self.note(f"over: {happening.kind} {station.plan.name}")
            end()
            self._faults -= is_fault
            if is_fault:
                self._fault_over_s = self.timeline.now_s + _FAULT_IS_OVER_S
            self._has_changed()

        self.timeline.after(happening.lasts_s, over)

    def _fault_of(self, happening: Happening, station: Station) -> tuple[Callable[[], None], Callable[[], None]]:
        if happening.kind.startswith("leader_"):
            station = self.master.station
        if happening.kind.endswith("restart"):
            return lambda: self._end(station), lambda: self._start(station)
        if happening.kind.endswith("stop"):
            return station.stop, station.go_on
        if happening.kind == "move":
            return self._move(station)
        if happening.kind == "power_cut":
            return lambda: self._end(station, powerless=True), lambda: self._start(station)
        if happening.kind in {"slow_board", "silent_board"}:
            return self._board_fault(happening, station)
        if happening.kind in {"limit", "dim"}:
            return self._limit_change(happening)
        return self._link_fault(happening)

    def _end(self, station: Station, *, powerless: bool = False) -> None:
        station.end(powerless=powerless)
        if station is self.master.station:
            self.master.end()

    def _move(self, station: Station) -> tuple[Callable[[], None], Callable[[], None]]:
        """Make another station the master; meanwhile there is none."""

        def resign() -> None:
            self.master.end()
            self._is_moving = True

        def lead() -> None:
            self.master.end()
            self._is_moving = False
            self.master.station = station
            if station.run is not None:
                self.master.start()

        return resign, lead

    def _link_fault(self, happening: Happening) -> tuple[Callable[[], None], Callable[[], None]]:
        names = [self.stations[each].plan.name for each in (happening.others or (happening.station,))]
        much = happening.amount
        trouble, ways = {
            "loss": (Trouble(loss=0.2 + 0.7 * much), (True, False)),
            "delay": (Trouble(delay_s=(0.0, 0.1 + 8 * much * much)), (True, False)),
            "double": (Trouble(doubled=0.5, delay_s=(0.0, 12 * much)), (True, False)),
            "flap": (Trouble(loss=0.5, delay_s=(0.0, 3 * much), doubled=0.3), (True, False)),
            "late": (Trouble(delay_s=(much, much)), (False,)),
            "cut": (CUT, (True, False)),
            "part": (CUT, (True, False)),
            "deaf_up": (CUT, (True,)),
            "deaf_down": (CUT, (False,)),
        }[happening.kind]

        def each(act: Callable[..., None]) -> None:
            for name in names:
                for up in ways:
                    act(name, trouble, up=up)

        def begin() -> None:
            each(self.network.begin)
            for name in names:
                if not self._links_in_trouble[name]:
                    self._in_trouble_since_s[name] = self.timeline.now_s
            self._links_in_trouble.update(names)
            self._look_for_unheard()

        def end() -> None:
            each(self.network.end)
            self._links_in_trouble.subtract(names)
            self._look_for_unheard()

        return begin, end

    def _board_fault(self, happening: Happening, station: Station) -> tuple[Callable[[], None], Callable[[], None]]:
        point = station.points[happening.point - 1]
        board, place = point.board, (station.plan.name, point.key)
        if happening.kind == "slow_board":
            usual = board.delay_s

            def slow() -> None:
                board.delay_s = (0.2, 0.5 + 4 * happening.amount)

            def fast() -> None:
                board.delay_s = usual

            return slow, fast

        def deaf() -> None:
            board.is_deaf = True
            self._deaf_boards += 1
            self._deaf[place] += 1
            self._look_for_unheard()
            self._excuse()

        def hears() -> None:
            board.is_deaf = False
            self._deaf_boards -= 1
            self._deaf[place] -= 1
            self._look_for_unheard()
            self._excuse()

        return deaf, hears

    def _look_for_unheard(self) -> None:
        """Note which boards nobody hears of; one that hears again, or is heard of, has its time to come down."""
        now_s = self.timeline.now_s
        for (name, key), times in self._deaf.items():
            from_s, until_s = self._unheard.get(key, (0.0, 0.0))
            if times and self._links_in_trouble[name]:
                if until_s != math.inf:
                    begins_s = max(now_s, self._in_trouble_since_s[name] + _LEASE_MAY_BE_OVER_S)
                    self._unheard[key] = (begins_s, math.inf)
            elif until_s == math.inf:
                self._unheard[key] = (from_s, now_s + _BOARD_RECOVERS_S)

    def _unknowable(self) -> int:
        now_s = self.timeline.now_s
        return sum(
            self.checker.may(key) for key, (from_s, until_s) in self._unheard.items() if from_s <= now_s < until_s
        )

    def _excuse(self) -> None:
        now_s = self.timeline.now_s
        if self._deaf_boards:
            self.cluster.hold_open(now_s)
        else:
            self.cluster.close(now_s, until_s=now_s + _BOARD_RECOVERS_S)
            self.timeline.after(_BOARD_RECOVERS_S + 0.001, lambda: self.checker.look(self.cluster))

    def _limit_change(self, happening: Happening) -> tuple[Callable[[], None], Callable[[], None]]:
        if happening.kind == "limit":
            bound, place = int(happening.amount), self._limits
        else:
            least = max(18_000, total_of_fallbacks(self.scene.stations))
            bound, place = max(least, int(happening.amount) * 2), self._totals

        def lower() -> None:
            place.append(bound)
            self._set_limit()

        def lift() -> None:
            place.remove(bound)
            self._set_limit()

        return lower, lift

    def _set_limit(self) -> None:
        now_s = self.timeline.now_s
        self.cluster.set(min(self._limits), min(self._totals, default=None), now_s=now_s, within_s=LOWER_WITHIN_S)
        if self._deaf_boards:
            self._excuse()
        self.timeline.at(now_s + LOWER_WITHIN_S + 0.001, lambda: self.checker.look(self.cluster))
        self.master.budget_changed()

    # --- how much of the limit is used

    def _has_changed(self) -> None:
        self._changed_s = changed_s = self.timeline.now_s
        self.timeline.after(USED_AFTER_S, lambda: self._measure_use(changed_s))

    def _measure_use(self, changed_s: float) -> None:
        now_s = self.timeline.now_s
        if changed_s != self._changed_s or now_s < self._fault_over_s or self._faults or self._totals:
            return
        limit = min(self._limits)
        demands = {phase: self._demand(phase) for phase in (1, 2, 3)}
        phase = max(demands, key=lambda each: demands[each])
        if demands[phase] >= limit:
            offered = sum(
                point.board.held
                for station in self.stations
                if phase in station.plan.phases
                for point in station.points
                if point.car is not None
            )
            self.outcome.used.append(offered / limit)
            self.note(f"used: {offered / limit:.3f} of {limit} mA")

    def _demand(self, phase: int) -> int:
        return sum(
            min(station.plan.mains, sum(point.cable for point in station.points if point.car is not None))
            for station in self.stations
            if phase in station.plan.phases
        )
