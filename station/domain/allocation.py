"""One allocator for the points of a station (level 1) and of a cluster (level 2): who charges, and with how much.

`allocate` is the fair split at one moment. `step` carries it out over time: reductions at once, increases only when the
current they need has surely been given up, so that at every instant the sum of what the points may draw stays within
the budget (`reference/hardware/loadmanagement.md`, sections 1 and 5). `confirmed` brings the news that a point's
controller has taken a limit: the time in which the car follows is counted from there, not from the decision.

All moments are seconds of one monotonic clock.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple, Self, TypeAlias

from station.domain.limits import floor_to_step
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

ALL_PHASES = frozenset({1, 2, 3})
_ROTATION_LETTERS = {"R": 1, "S": 2, "T": 3}
_TOTAL = 0  # the sum of all phases among the lines of a supply
_ONE_AMPERE = MilliAmpere(1_000)
_Echoes: TypeAlias = tuple[tuple[MilliAmpere, float], ...]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be drawn on each phase of the supply, and the sum of all three (`total`, for powers; None: no limit)."""

    l1: MilliAmpere
    l2: MilliAmpere
    l3: MilliAmpere
    total: int | None = None

    @classmethod
    def uniform(cls, limit: MilliAmpere, *, total: int | None = None) -> Self:
        """Make a budget of the same current on every phase."""
        return cls(l1=limit, l2=limit, l3=limit, total=total)

    def most_for(self, phases: Collection[int]) -> MilliAmpere:
        """Return what a point on these phases could have if it were alone."""
        lines = self.per_line()
        most = min(lines[phase] for phase in phases)
        return MilliAmpere(most if self.total is None else min(most, self.total // len(phases)))

    def per_line(self) -> "dict[int, int]":
        """Return the current of each phase, and the sum of all as line 0 when it is limited."""
        return {1: self.l1, 2: self.l2, 3: self.l3} | ({} if self.total is None else {_TOTAL: self.total})


@dataclass(frozen=True, kw_only=True)
class Policy:
    """How the budget is shared out.

    `rotate_after_s`: after so long a charging point gives way to a waiting one; 0: it keeps its place until it is done.
    `reenable_after_s`: a point paused for want of capacity stays paused at least so long.
    `lend_headroom`: a point that draws less than its share keeps what it draws and this much more, the rest is lent;
    None: everybody's share is reserved whether drawn or not.
    `raise_at_least`, `raise_after_s`: smaller increases wait until the last change is so long ago.
    `lease_s`: how long a point may go on with an older limit when it has not confirmed the newest; infinite: until it
    confirms.
    """

    rotate_after_s: float = 0.0
    reenable_after_s: float = 0.0
    lend_headroom: MilliAmpere | None = None
    raise_at_least: MilliAmpere = _ONE_AMPERE
    raise_after_s: float = 30.0
    lease_s: float = math.inf
    # IEC 61851-1 table A.6: a car follows a changed duty cycle within 5 s; it stops drawing within 3 s when the duty
    # cycle ends, and the contactor opens after 6 s at the latest.
    settle_s: float = 5.0
    pause_settle_s: float = 6.0


LEVEL_1 = Policy()
# A contactor that is switched by others' demand should not be switched every few seconds.
LEVEL_2 = Policy(rotate_after_s=900.0, reenable_after_s=60.0, lease_s=30.0)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What one point wants now.

    `active`: a session that could draw current. `limit`: what its other limits leave it. `phases`: the supply phases it
    may load by its wiring (`supply_phases`), whatever its car uses at the moment: a car that has charged on one phase
    may wake its second rectifier at any time. `waiting_since_s`: since when it has been active. `charging_since_s`:
    since when it has had current; None: it has none (`step` knows this itself). `measured`: its highest phase current.
    `reachable` False: it gets no commands any more and may draw what it was last told or, later, its `fallback`.
    `stuck_at`: what it goes on with although it has long been told less; the others have to make room for it.
    """

    point_id: str
    active: bool
    limit: MilliAmpere
    phases: frozenset[int] = ALL_PHASES
    waiting_since_s: float = 0.0
    charging_since_s: float | None = None
    measured: MilliAmpere | None = None
    reachable: bool = True
    fallback: MilliAmpere = PAUSE
    stuck_at: MilliAmpere = PAUSE


@dataclass(frozen=True, kw_only=True)
class Allocation:
    """What a point gets; `waiting`: it gets nothing because others were first."""

    point_id: str
    limit: MilliAmpere
    waiting: bool = False


@dataclass(frozen=True, kw_only=True)
class Command:
    """A point's new limit, to be sent now."""

    point_id: str
    limit: MilliAmpere


@dataclass(frozen=True, kw_only=True)
class PointState:
    """What was commanded and what may still flow.

    `echoes`: earlier, higher limits that count until the moment beside them. `flowing`: what is measured beyond any
    limit. `lost`: the point has not been reachable. `paused_since_s`: since when it has been paused for want of
    capacity.
    """

    commanded: MilliAmpere = PAUSE
    echoes: _Echoes = ()
    flowing: MilliAmpere = PAUSE
    phases: frozenset[int] = ALL_PHASES
    fallback: MilliAmpere = PAUSE
    changed_at_s: float = float("-inf")
    charging_since_s: float | None = None
    paused_since_s: float | None = None
    lost: bool = False
    waiting: bool = False  # wants current, could take it, and has none

    def reserved(self, now_s: float) -> MilliAmpere:
        """Return what the point may draw at this instant."""
        highest = max(self.commanded, self.flowing, self.fallback if self.lost else PAUSE)
        for value, until_s in self.echoes:
            if until_s > now_s and value > highest:
                highest = value
        return highest


@dataclass(frozen=True, kw_only=True)
class State:
    """The allocator's memory: one entry per point ever seen and not forgotten."""

    points: Mapping[str, PointState] = field(default_factory=dict)

    @classmethod
    def assuming(cls, limits: Mapping[str, MilliAmpere], now_s: float, *, policy: Policy = LEVEL_1) -> Self:
        """Begin after a restart: each point may still draw this much until it has been told otherwise."""
        until_s = now_s + policy.lease_s + policy.pause_settle_s
        return cls(points={key: PointState(echoes=((limit, until_s),)) for key, limit in limits.items()})

    def reserved(self, now_s: float) -> Budget:
        """Sum up per phase what all points may draw at this instant."""
        sums = _reserved_per_line(self.points.values(), now_s)
        return Budget(l1=MilliAmpere(sums[1]), l2=MilliAmpere(sums[2]), l3=MilliAmpere(sums[3]))

    def next_settled_s(self, now_s: float) -> float | None:
        """Find the moment at which given-up current becomes free next; None: nothing is pending."""
        moments = (until_s for point in self.points.values() for _, until_s in point.echoes)
        return min((until_s for until_s in moments if now_s < until_s < math.inf), default=None)

    def without(self, point_id: str) -> "State":
        """Forget a point that no longer belongs to the station or cluster."""
        return State(points={key: point for key, point in self.points.items() if key != point_id})


class _Candidate(NamedTuple):
    rank: int
    since_s: float
    point_id: str
    limit: MilliAmpere
    phases: frozenset[int]


def supply_phases(rotation: str, connected: int) -> frozenset[int]:
    """Return the supply phases a point is connected to by so many phases; `rotation` as in ConnectorPhaseRotation.

    "RST" is wired straight; with "STR" a one-phase point loads L2. An unknown rotation or number means all phases.
    """
    letters = [_ROTATION_LETTERS.get(letter) for letter in rotation]
    if sorted(letter or 0 for letter in letters) != [1, 2, 3] or not 1 <= connected <= len(letters):
        return ALL_PHASES
    return frozenset(letter for letter in letters[:connected] if letter is not None)


def phase_rotations(items: str) -> dict[int, str]:
    """Read ConnectorPhaseRotation ("0.RST,1.RST,2.STR"): the rotation of each charging point as it is written."""
    found = {}
    for item in items.split(","):
        number, _dot, rotation = item.strip().partition(".")
        if number.isdigit():
            found[int(number)] = rotation
    return found


def confirmed(state: State, point_id: str, limit: MilliAmpere, at_s: float, *, policy: Policy = LEVEL_1) -> State:
    """Take the news that since `at_s` the point's controller holds this limit (0: no energy released).

    The news must not be older than the newest command: a caller whose command is under way, or was lost, says what the
    controller may hold at most. More than was commanded counts until a lower limit is confirmed.
    """
    point = state.points.get(point_id, _NEW)
    settled_s = at_s + _settle_s(limit, policy)
    # A pause that was confirmed a moment before has its six seconds, whatever is offered meanwhile.
    pause_s = settled_s + policy.pause_settle_s - _settle_s(limit, policy)
    echoes = tuple(
        (value, settled_s if value > limit and until_s > pause_s else until_s) for value, until_s in point.echoes
    )
    if limit > point.commanded:
        until_s = at_s + policy.lease_s + _settle_s(point.commanded, policy)
        echoes = _with_echo(echoes, limit, until_s, at_s)
    if echoes == point.echoes:
        return state
    return State(points={**state.points, point_id: replace(point, echoes=echoes)})


def measured(state: State, point_id: str, flowing: MilliAmpere) -> State:
    """Count with what flows beyond the point's limit, for as long as it is measured; PAUSE: nothing does."""
    point = state.points.get(point_id, _NEW)
    if point.flowing == flowing:
        return state
    return State(points={**state.points, point_id: replace(point, flowing=flowing)})


def withdrawn(state: State, point_id: str, limit: MilliAmpere, until_s: float) -> State:
    """Lower a point's limit without a command; what it had counts until a moment, or until less is confirmed."""
    point = state.points[point_id]
    if point.commanded <= limit:
        return state
    echoes = _with_echo(point.echoes, point.commanded, until_s)
    return State(points={**state.points, point_id: replace(point, commanded=limit, echoes=echoes)})


def returned(state: State, point_id: str, until_s: float) -> State:
    """Take news that a lost point stands at what it was told; until a moment it still counts with its fallback."""
    point = state.points[point_id]
    if not point.lost:
        return state
    # What this one covers is dropped: a bad link brings a station back many thousand times.
    echoes = _with_echo(point.echoes, point.fallback, until_s)
    return State(points={**state.points, point_id: replace(point, lost=False, echoes=echoes)})


def allocate(
    budget: Budget, points: Sequence[Demand], policy: Policy = LEVEL_1, *, now_s: float = 0.0
) -> tuple[Allocation, ...]:
    """Split the budget: as many points as can have 6 A, first come first, and those equally up to their limits.

    The answer is in the order of `points` and depends on nothing but the arguments.
    """
    candidates = [
        _candidate(point, point.charging_since_s, point.waiting_since_s, policy, now_s)
        for point in points
        if _can_charge(point)
    ]
    shares = _share_out(budget.per_line(), candidates)
    wanting = {candidate.point_id for candidate in candidates}
    return tuple(
        Allocation(
            point_id=point.point_id,
            limit=shares.get(point.point_id, PAUSE),
            waiting=point.point_id in wanting and point.point_id not in shares,
        )
        for point in points
    )


def step(
    state: State, demands: Iterable[Demand], now_s: float, *, budget: Budget, policy: Policy = LEVEL_1
) -> tuple[State, tuple[Command, ...]]:
    """Go on to this moment: the new state and the limits to send, reductions first.

    A point of the state without a demand is treated as unreachable: what it may draw stays reserved.
    """
    wanted = {demand.point_id: demand for demand in demands}
    reachable = {point_id: demand for point_id, demand in wanted.items() if demand.reachable}
    # A returning point is told its limit in any case, since it may have gone to its fallback meanwhile.
    returning = [point_id for point_id in reachable if state.points.get(point_id, _NEW).lost]
    points = {
        point_id: _observe(state.points.get(point_id, _NEW), wanted.get(point_id), now_s=now_s, policy=policy)
        for point_id in state.points.keys() | wanted.keys()
    }
    available = budget.per_line()
    lost = _reserved_per_line((point for key, point in points.items() if key not in reachable), now_s)
    shareable = {line: limit - lost[line] for line, limit in available.items()}
    candidates = [
        _candidate(
            demand,
            points[point_id].charging_since_s,
            max(demand.waiting_since_s, points[point_id].paused_since_s or demand.waiting_since_s),
            policy,
            now_s,
        )
        for point_id, demand in reachable.items()
        if _can_charge(demand) and not _is_cooling(points[point_id], policy, now_s)
    ]
    shares = _share_out_beside_stuck(shareable, candidates, reachable.values())

    commands: list[Command] = []
    for point_id, demand in reachable.items():
        point, target = points[point_id], shares.get(point_id, PAUSE)
        if target < point.commanded:
            point = _reduce(point, target, capacity=_can_charge(demand), now_s=now_s, policy=policy)
            commands.append(Command(point_id=point_id, limit=target))
        points[point_id] = _note_place(point, demand, target)
    reserved = _reserved_per_line(points.values(), now_s)
    headroom = {line: limit - reserved[line] for line, limit in available.items()}
    for candidate in sorted(candidates, key=lambda each: (points[each.point_id].commanded, each)):
        point = points[candidate.point_id]
        raised = _raise(point, shares.get(candidate.point_id, PAUSE), headroom, now_s=now_s, policy=policy)
        if raised is not None:
            points[candidate.point_id] = raised
            commands.append(Command(point_id=candidate.point_id, limit=raised.commanded))
    told = {command.point_id for command in commands}
    commands += [Command(point_id=each, limit=points[each].commanded) for each in returning if each not in told]
    return State(points=points), tuple(commands)


_NEW = PointState()


def _can_charge(demand: Demand) -> bool:
    return demand.active and demand.limit >= MINIMUM_CURRENT


def _candidate(
    demand: Demand, charging_since_s: float | None, waiting_since_s: float, policy: Policy, now_s: float
) -> _Candidate:
    limit = demand.limit
    if policy.lend_headroom is not None and demand.measured is not None and charging_since_s is not None:
        limit = min(limit, MilliAmpere(max(MINIMUM_CURRENT, demand.measured + policy.lend_headroom)))
    if charging_since_s is None:
        return _Candidate(1, waiting_since_s, demand.point_id, limit, demand.phases)
    if policy.rotate_after_s > 0 and now_s - charging_since_s >= policy.rotate_after_s:
        # Who has charged longest gives way first.
        return _Candidate(2, -charging_since_s, demand.point_id, limit, demand.phases)
    return _Candidate(0, charging_since_s, demand.point_id, limit, demand.phases)


def _is_cooling(point: PointState, policy: Policy, now_s: float) -> bool:
    return point.paused_since_s is not None and now_s - point.paused_since_s < policy.reenable_after_s


@cache
def _weights(phases: frozenset[int]) -> dict[int, int]:
    """Return how often a current on these phases counts on each line."""
    return {_TOTAL: len(phases)} | dict.fromkeys(phases, 1)


def _room(headroom: Mapping[int, int], phases: frozenset[int]) -> int:
    """Return what the lines leave on every one of these phases; may be negative."""
    return min([headroom[line] // weight for line, weight in _weights(phases).items() if line in headroom], default=0)


def _occupy(headroom: dict[int, int], phases: frozenset[int], current: int) -> None:
    for line, weight in _weights(phases).items():
        if line in headroom:
            headroom[line] -= current * weight


def _share_out(available: Mapping[int, int], candidates: Iterable[_Candidate]) -> dict[str, MilliAmpere]:
    headroom: dict[int, int] = dict(available)
    chosen: list[_Candidate] = []
    for candidate in sorted(candidates):
        if _room(headroom, candidate.phases) >= MINIMUM_CURRENT:
            chosen.append(candidate)
            _occupy(headroom, candidate.phases, MINIMUM_CURRENT)
    return _fill(headroom, chosen)


def _share_out_beside_stuck(
    available: Mapping[int, int], candidates: Sequence[_Candidate], demands: Iterable[Demand]
) -> dict[str, MilliAmpere]:
    """Share out; who cannot be brought down to its share is told it all the same, and the others get what is left."""
    shares = _share_out(available, candidates)
    stuck = {demand.point_id: demand for demand in demands if demand.stuck_at > shares.get(demand.point_id, PAUSE)}
    if not stuck:
        return shares
    rest = dict(available)
    for demand in stuck.values():
        _occupy(rest, demand.phases, demand.stuck_at)
    others = _share_out(rest, (candidate for candidate in candidates if candidate.point_id not in stuck))
    return others | {point_id: share for point_id, share in shares.items() if point_id in stuck}


def _fill(headroom: dict[int, int], chosen: Iterable[_Candidate]) -> dict[str, MilliAmpere]:
    """Raise the level of all from 6 A on together; a point at its own limit or that of a line stays there."""
    shares: dict[str, MilliAmpere] = {}
    groups: defaultdict[frozenset[int], list[tuple[MilliAmpere, str]]] = defaultdict(list)
    for candidate in chosen:
        groups[candidate.phases].append((candidate.limit, candidate.point_id))
    for members in groups.values():
        members.sort(reverse=True)
    level = int(MINIMUM_CURRENT)
    while groups:
        loads = dict.fromkeys(headroom, 0)
        for phases, members in groups.items():
            for line, weight in _weights(phases).items():
                if line in loads:
                    loads[line] += weight * len(members)
        next_limit = min(members[-1][0] for members in groups.values())
        room = min((headroom[line] // load for line, load in loads.items() if load), default=next_limit - level)
        rise = max(0, min(next_limit - level, room))
        level += rise
        for line, load in loads.items():
            headroom[line] -= rise * load
        full = {line for line, load in loads.items() if load and headroom[line] < load}
        for phases, members in list(groups.items()):
            is_full = not full.isdisjoint(_weights(phases))
            while members and (members[-1][0] <= level or is_full):
                _, point_id = members.pop()
                shares[point_id] = floor_to_step(level)
            if not members:
                del groups[phases]
    return shares


def _observe(point: PointState, demand: Demand | None, *, now_s: float, policy: Policy) -> PointState:
    if demand is not None and (point.phases, point.fallback) != (demand.phases, demand.fallback):
        point = replace(point, phases=demand.phases, fallback=demand.fallback)
    if demand is None or not demand.reachable:
        return point if point.lost else replace(point, lost=True)
    if point.lost:
        # It stands at its last command or at its fallback, nobody knows which. It is told the lower one, or what the
        # budget has room for beside the higher one, and counts as the higher one until that is carried out.
        highest = max(point.commanded, point.fallback)
        point = replace(
            point,
            lost=False,
            commanded=floor_to_step(min(point.commanded, point.fallback)),
            echoes=_with_echo(point.echoes, highest, now_s + policy.lease_s + policy.pause_settle_s, now_s),
        )
    return point


def _note_place(point: PointState, demand: Demand, target: MilliAmpere) -> PointState:
    waiting = point.commanded == PAUSE and _can_charge(demand)
    paused_since_s = point.paused_since_s if demand.active else None
    charging_since_s = point.charging_since_s if target > PAUSE else None
    if (waiting, paused_since_s, charging_since_s) == (point.waiting, point.paused_since_s, point.charging_since_s):
        return point
    return replace(point, waiting=waiting, paused_since_s=paused_since_s, charging_since_s=charging_since_s)


def _settle_s(limit: MilliAmpere, policy: Policy) -> float:
    return policy.pause_settle_s if limit == PAUSE else policy.settle_s


def _with_echo(echoes: _Echoes, value: MilliAmpere, until_s: float, now_s: float = -math.inf) -> _Echoes:
    kept = (echo for echo in echoes if echo[1] > now_s and (echo[0] > value or echo[1] > until_s))
    return (*kept, (value, until_s))


def _reduce(point: PointState, target: MilliAmpere, *, capacity: bool, now_s: float, policy: Policy) -> PointState:
    until_s = now_s + policy.lease_s + _settle_s(target, policy)
    return replace(
        point,
        commanded=target,
        echoes=_with_echo(point.echoes, point.commanded, until_s, now_s),
        changed_at_s=now_s,
        paused_since_s=now_s if target == PAUSE and capacity else point.paused_since_s,
    )


def _raise(
    point: PointState, target: MilliAmpere, headroom: dict[int, int], *, now_s: float, policy: Policy
) -> PointState | None:
    if target <= point.commanded:
        return None
    reserved = point.reserved(now_s)
    limit = floor_to_step(min(target, reserved + _room(headroom, point.phases)))
    if limit <= point.commanded:
        return None
    small = limit - point.commanded < policy.raise_at_least
    if point.commanded > PAUSE and small and now_s - point.changed_at_s < policy.raise_after_s:
        return None
    _occupy(headroom, point.phases, max(0, limit - reserved))
    return replace(
        point,
        commanded=limit,
        echoes=tuple(echo for echo in point.echoes if echo[1] > now_s),
        changed_at_s=now_s,
        charging_since_s=now_s if point.charging_since_s is None else point.charging_since_s,
        paused_since_s=None,
        waiting=False,
    )


def _reserved_per_line(points: Iterable[PointState], now_s: float) -> dict[int, int]:
    by_phases: defaultdict[frozenset[int], int] = defaultdict(int)
    for point in points:
        by_phases[point.phases] += point.reserved(now_s)
    sums = {_TOTAL: 0, 1: 0, 2: 0, 3: 0}
    for phases, reserved in by_phases.items():
        for line, weight in _weights(phases).items():
            sums[line] += reserved * weight
    return sums
