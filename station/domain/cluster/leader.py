"""The one station of a cluster that lends the others their share.

It keeps an account of what every charging point may draw at most: an upper bound of every lease it gave, the fallback
of everyone it may have lost. It lends only what the account leaves; why the sum holds stands in `docs/cluster.md`. All
moments are seconds of one monotonic clock.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from station.domain.allocation import (
    Budget,
    Demand,
    PointState,
    Policy,
    State,
    confirmed,
    measured,
    returned,
    step,
    withdrawn,
)
from station.domain.cluster.messages import Grant, PointReport, Report
from station.domain.cluster.timing import (
    GATHER_S,
    HOLD_BACK_S,
    LEASE_BOUND_S,
    LEASE_S,
    LOST_AFTER_S,
    POLICY,
)
from station.domain.limits import floor_to_step
from station.domain.supervision import IDLE_CURRENT
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

# Meters and cars are not exact: so much of its limit a car may take before it counts with what it takes.
_TAKES_MORE_PERCENT = 110
# Runs of a member that have been left: an old report of one of them says nothing any more.
_MOST_LEFT_RUNS = 16


class ReportRefused(ValueError):
    """The report is of a station or a charging point that does not belong to the cluster; the argument is a code."""


@dataclass(frozen=True, kw_only=True)
class KnownMember:
    """A station that belongs to the cluster. `rating`: the most one of its points could draw."""

    station: str
    points: tuple[int, ...]
    fallback: MilliAmpere
    rating: MilliAmpere


@dataclass(frozen=True, kw_only=True)
class PointOverview:
    """A charging point. `granted`: what it is lent; `reserved`: what it counts with, which may be more for a while."""

    number: int
    active: bool
    limit: MilliAmpere
    granted: MilliAmpere
    held: MilliAmpere
    flowing: MilliAmpere
    reserved: MilliAmpere
    waiting: bool
    phases: frozenset[int]


@dataclass(frozen=True, kw_only=True)
class StationOverview:
    """A station as the leader sees it.

    `met`: it has answered this leader. `link_age_s`: how long ago it was heard, None: never. `lost`: it may fall back
    at any time, which is reserved. `lease_remaining_s`: how long it may go on at most if it is not heard any more.
    """

    station: str
    fallback: MilliAmpere
    rating: MilliAmpere
    met: bool
    lost: bool
    link_age_s: float | None
    lease_remaining_s: float
    points: tuple[PointOverview, ...]


@dataclass(frozen=True, kw_only=True)
class Overview:
    """The whole cluster. `gathering_s`: how long the leader still waits for members it knows, at most."""

    epoch: str
    budget: Budget | None
    reserved: Budget
    gathering_s: float
    stations: tuple[StationOverview, ...]


@dataclass(frozen=True, kw_only=True)
class _Written:
    """A grant that may have been taken.

    `heard_s`: when the report it answers was heard, which is after it was sent. `asked_after_s`: that report was sent
    after this moment, since it names a grant written then.
    """

    number: int
    limits: Mapping[int, MilliAmpere] | None
    waiting: frozenset[int]
    dimmed: frozenset[int]
    written_s: float
    heard_s: float
    asked_after_s: float


@dataclass(kw_only=True)
class _Run:
    """One run of a member's software and the grants it may take; `met`: it has taken one of this leader."""

    name: str
    seq: int = 0
    heard_s: float = -math.inf
    met: bool = False
    is_unanswered: bool = False
    taken_written_s: float = -math.inf
    written: list[_Written] = field(default_factory=list)

    def lent(self, number: int, now_s: float) -> list[MilliAmpere]:
        """Return every limit of a point that it may still hold by a lease."""
        return [
            each.limits[number]
            for each in self.written
            if each.limits is not None and now_s < each.heard_s + LEASE_BOUND_S
        ]

    def forget_before(self, number: int, now_s: float) -> None:
        """Forget the grants it cannot take any more."""
        self.written = [
            each
            for each in self.written
            if each.number == number or (each.number > number and now_s < each.heard_s + LEASE_BOUND_S)
        ]

    @property
    def bound_s(self) -> float:
        """Return the moment at which every lease it may have is over."""
        return (
            max((each.heard_s for each in self.written if each.limits is not None), default=-math.inf) + LEASE_BOUND_S
        )


@dataclass(kw_only=True)
class _Member:
    """What the leader knows of a station.

    `present`: the run whose word counts; `newcomer`: another one, which has not answered this leader yet. `report`: the
    newest word that counts. `admitted_s`: since when it is lent something. `asked_after_s`: its present lease was asked
    for after this moment.
    """

    known: KnownMember
    present: _Run | None = None
    newcomer: _Run | None = None
    answering: _Run | None = None
    left: deque[str] = field(default_factory=lambda: deque(maxlen=_MOST_LEFT_RUNS))
    report: Report | None = None
    met_s: float = -math.inf
    admitted_s: float | None = None
    asked_after_s: float = -math.inf
    lost_since_s: float | None = None
    active_since_s: dict[int, float] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        return self.present is not None and self.present.met

    @property
    def fallback(self) -> MilliAmpere:
        if not self.is_met or self.report is None:
            return self.known.fallback
        # A station that has registered with a higher one may rise to it before it reports again.
        return max(self.report.fallback, self.known.fallback)

    def key(self, number: int) -> str:
        return f"{self.known.station}/{number}"

    def run_of(self, report: Report) -> _Run | None:
        """Return the run that speaks; None: one that has been left."""
        if report.run in self.left:
            return None
        if self.present is not None and self.present.name == report.run:
            return self.present
        if self.newcomer is None or self.newcomer.name != report.run:
            self.newcomer = _Run(name=report.run)
        return self.newcomer

    def may_have_lost_its_lease(self, now_s: float) -> bool:
        """Return whether its present lease may have been asked for too long ago."""
        return self.admitted_s is None or now_s - max(self.asked_after_s, self.admitted_s) > LOST_AFTER_S


class Leader:
    """The leader's side of the protocol; `epoch`: random for every start.

    Every station it has ever lent to must be among the members at the start: what they may still hold counts.
    `predecessor`: the epoch of the last start on this station; None: it has never led. Members that were led by another
    one since then make the leader wait until everything is over that this one may have lent to stations unknown here.
    """

    def __init__(
        self,
        members: Iterable[KnownMember],
        *,
        epoch: str,
        now_s: float,
        policy: Policy = POLICY,
        predecessor: str | None = None,
    ) -> None:
        self.epoch = epoch
        self._predecessor = predecessor
        self._knows_everyone = predecessor is not None
        self._policy = replace(policy, lease_s=LEASE_BOUND_S)
        self._members: dict[str, _Member] = {}
        self._number = 0
        self._gathers_until_s = now_s + GATHER_S
        self._is_gathering = True
        self._budget: Budget | None = None
        # Only the grid operator limits the sum of all phases.
        self._sum_binds = False
        # Points of forgotten stations count until their leases are over.
        self._leaving: dict[str, float] = {}
        self._state = State()
        until_s = now_s + LEASE_BOUND_S + self._policy.pause_settle_s
        for known in members:
            self._add(known, echoes=((known.rating, until_s),))

    def _add(self, known: KnownMember, echoes: tuple[tuple[MilliAmpere, float], ...] = ()) -> None:
        member = self._members[known.station] = _Member(known=known)
        points = {
            member.key(number): PointState(echoes=echoes, fallback=known.fallback, lost=True) for number in known.points
        }
        self._leaving = {key: until_s for key, until_s in self._leaving.items() if key not in points}
        self._state = State(points={**points, **self._state.points})

    def rotate_after(self, span_s: float) -> None:
        """Let a point give its place to a waiting one after so long; 0: it keeps it until it is done."""
        self._policy = replace(self._policy, rotate_after_s=span_s)

    # --- who belongs to the cluster

    def adopt(self, known: KnownMember) -> None:
        """Take a station in, or note what has changed about it."""
        member = self._members.get(known.station)
        if member is not None and member.known.points == known.points:
            member.known = known
            if not member.is_met:
                keys = [member.key(number) for number in known.points]
                points = {key: replace(self._state.points[key], fallback=known.fallback) for key in keys}
                self._state = State(points={**self._state.points, **points})
            return
        if member is not None:
            self.forget(known.station)
        self._add(known)

    def forget(self, station: str) -> None:
        """Count a station no more once its leases are over; the caller knows that nobody charges there."""
        member = self._members.pop(station, None)
        if member is None:
            return
        runs = [run for run in (member.present, member.newcomer) if run is not None]
        until_s = max((run.bound_s for run in runs), default=-math.inf) + self._policy.pause_settle_s
        self._leaving.update({member.key(number): until_s for number in member.known.points})

    # --- what members say

    def hear(self, report: Report, now_s: float) -> None:
        """Take a report; raises ReportRefused. One that is older than what is known changes nothing.

        `now_s` is a moment after the report was received, never before.
        """
        member = self._members.get(report.station)
        if member is None:
            raise ReportRefused("unknown_station")
        if {point.number for point in report.points} != set(member.known.points):
            raise ReportRefused("unknown_point")
        run = member.run_of(report)
        if run is None or report.seq <= run.seq:
            return
        run.seq, run.heard_s, run.is_unanswered = report.seq, now_s, True
        member.answering = run
        taken = report.lease_of
        if taken is None or taken.epoch != self.epoch:
            self._knows_everyone &= taken is None or taken.epoch == self._predecessor
            if run is member.present and run.met:
                self._part(member, run)
            return
        grant = next((each for each in run.written if each.number == taken.number), None)
        if grant is None:
            return
        if run is not member.present or not run.met:
            self._meet(member, run, now_s)
        run.forget_before(grant.number, now_s)
        run.taken_written_s = grant.written_s
        if grant.limits is not None:
            member.asked_after_s = max(member.asked_after_s, grant.asked_after_s)
        member.report = report
        for point in report.points:
            self._confirm(member, run, point, now_s, is_led=grant.limits is not None)

    def _meet(self, member: _Member, run: _Run, now_s: float) -> None:
        """Begin with a run that has answered: it can take nothing any more that was sent to another or by another."""
        if member.present is not None and member.present is not run:
            member.left.append(member.present.name)
        member.present, member.newcomer = run, None
        run.met = True
        member.met_s, member.admitted_s, member.lost_since_s = now_s, None, None
        member.asked_after_s = -math.inf
        for number in member.known.points:
            self._state = withdrawn(self._state, member.key(number), PAUSE, math.inf)

    def _part(self, member: _Member, run: _Run) -> None:
        """Note that a member has answered another leader, whose grants nobody here knows."""
        run.met, member.admitted_s = False, None
        until_s = run.bound_s + self._policy.pause_settle_s
        for number in member.known.points:
            self._state = withdrawn(self._state, member.key(number), PAUSE, until_s)

    def _confirm(self, member: _Member, run: _Run, point: PointReport, now_s: float, *, is_led: bool) -> None:
        key = member.key(point.number)
        lent = max([point.granted, *run.lent(point.number, now_s)])
        if not is_led:
            # It has answered the greeting only: whatever it holds now, it may rise to its fallback.
            lent = max(lent, member.fallback)
        # A controller that holds more than it was told does not give it up with the lease either.
        policy = self._policy if point.held <= lent else replace(self._policy, lease_s=math.inf)
        if point.held == PAUSE:
            # A car that has just been paused has longer to follow than one that may rise to what it was lent.
            policy = replace(policy, settle_s=policy.pause_settle_s)
        self._state = confirmed(self._state, key, max(lent, point.held), now_s, policy=policy)
        # A welded contactor, or a car that does not follow: what flows counts, whatever was told.
        exceeds = point.flowing > max(point.held * _TAKES_MORE_PERCENT // 100, IDLE_CURRENT)
        self._state = measured(self._state, key, point.flowing if exceeds else PAUSE)
        if point.active:
            member.active_since_s.setdefault(point.number, now_s - point.waiting_s)
        else:
            member.active_since_s.pop(point.number, None)

    # --- what they are lent

    def decide(self, now_s: float, budget: Budget) -> dict[str, Grant]:
        """Go on to this moment: the grants to send now, to everyone who has asked or whose share has changed.

        `now_s` is a moment before the grants are sent, never after.
        """
        self._budget = budget
        self._sum_binds = self._is_reduced_by_sum(budget)
        self._forget_left(now_s)
        if self._is_gathering:
            are_met = self._knows_everyone and all(member.is_met for member in self._members.values())
            self._is_gathering = now_s < self._gathers_until_s and not are_met
        if not self._is_gathering:
            self._admit(now_s, budget)
        for member in self._members.values():
            self._follow(member, now_s)
        demands = [demand for member in self._members.values() for demand in self._demands(member)]
        self._state, _ = step(self._state, demands, now_s, budget=budget, policy=self._policy)
        grants = {station: self._answer(member, now_s) for station, member in self._members.items()}
        return {station: grant for station, grant in grants.items() if grant is not None}

    def _forget_left(self, now_s: float) -> None:
        for key in [key for key, until_s in self._leaving.items() if until_s <= now_s]:
            del self._leaving[key]
            self._state = self._state.without(key)

    def _is_reduced_by_sum(self, budget: Budget) -> bool:
        """Return whether the limit of the sum leaves less than the phases that are connected could carry."""
        connected = frozenset[int]().union(*(point.phases for point in self._state.points.values()))
        return budget.total is not None and budget.total < sum(budget.per_line()[phase] for phase in connected)

    def _admit(self, now_s: float, budget: Budget) -> None:
        """Begin to lend to members that have been met.

        A first lease is never more than the account leaves beside what all others may draw. While that is less than
        a charging member has from the leader before, it is held back a little: the others are about to answer.
        """
        reserved = self._state.reserved(now_s).per_line()
        reserved[0] = sum(reserved.values())
        fits = all(reserved[line] <= limit for line, limit in budget.per_line().items())
        for member in self._members.values():
            if not member.is_met or member.admitted_s is not None or member.report is None:
                continue
            is_idle = not any(point.active and point.limit >= MINIMUM_CURRENT for point in member.report.points)
            if is_idle or fits or now_s - member.met_s >= HOLD_BACK_S:
                member.admitted_s = now_s
                # It may have risen to its fallback, and does so as long as it has not taken this lease.
                self._take_back(member, now_s + LEASE_BOUND_S + self._policy.pause_settle_s)

    def _follow(self, member: _Member, now_s: float) -> None:
        """Note whether a member is lost, and count one that has been lost for long with its fallback."""
        run = member.present
        if run is None or member.admitted_s is None:
            return
        if not member.may_have_lost_its_lease(now_s):
            if member.lost_since_s is not None:
                member.lost_since_s = None
                self._take_back(member, now_s + self._policy.pause_settle_s)
            return
        if member.lost_since_s is None:
            member.lost_since_s = now_s
        if now_s - member.lost_since_s < LEASE_S:
            return
        for number in member.known.points:
            until_s = run.bound_s + self._policy.pause_settle_s
            self._state = withdrawn(self._state, member.key(number), floor_to_step(member.fallback), until_s)

    def _take_back(self, member: _Member, until_s: float) -> None:
        for number in member.known.points:
            self._state = returned(self._state, member.key(number), until_s)

    def _demands(self, member: _Member) -> Iterable[Demand]:
        if member.report is None:
            return
        is_reachable = member.admitted_s is not None and member.lost_since_s is None
        for point in member.report.points:
            yield Demand(
                point_id=member.key(point.number),
                active=point.active,
                limit=point.limit,
                phases=point.phases,
                waiting_since_s=member.active_since_s.get(point.number, 0.0),
                measured=point.flowing,
                reachable=is_reachable,
                fallback=member.fallback,
            )

    def _answer(self, member: _Member, now_s: float) -> Grant | None:
        run = member.answering
        if run is None or now_s - run.heard_s >= LEASE_S:
            return None
        limits: dict[int, MilliAmpere] | None = None
        waiting: frozenset[int] = frozenset()
        dimmed: frozenset[int] = frozenset()
        if run is member.present and run.met and member.admitted_s is not None:
            points = {number: self._state.points[member.key(number)] for number in member.known.points}
            limits = {number: point.commanded for number, point in points.items()}
            waiting = frozenset(number for number, point in points.items() if point.waiting)
            dimmed = self._dimmed(member)
        last = run.written[-1] if run.written else None
        if (
            not run.is_unanswered
            and last is not None
            and (last.limits, last.waiting, last.dimmed)
            == (
                limits,
                waiting,
                dimmed,
            )
        ):
            return None
        self._number += 1
        run.is_unanswered = False
        if not run.met:
            # Nobody has to take a greeting: one that went on asking without ever answering would fill the memory.
            run.written = [each for each in run.written if now_s < each.heard_s + LEASE_BOUND_S]
        run.written.append(
            _Written(
                number=self._number,
                limits=limits,
                waiting=waiting,
                dimmed=dimmed,
                written_s=now_s,
                heard_s=run.heard_s,
                asked_after_s=run.taken_written_s,
            )
        )
        return Grant(
            epoch=self.epoch,
            number=self._number,
            run=run.name,
            seq=run.seq,
            valid_s=LEASE_S,
            limits=limits,
            waiting=waiting,
            dimmed=dimmed,
        )

    def _dimmed(self, member: _Member) -> frozenset[int]:
        """Return the points that have less than they could use because the sum of all phases is limited."""
        if not self._sum_binds or member.report is None:
            return frozenset()
        return frozenset(
            point.number
            for point in member.report.points
            if point.active and self._state.points[member.key(point.number)].commanded < floor_to_step(point.limit)
        )

    # --- what people see

    def overview(self, now_s: float) -> Overview:
        """Return the present of the whole cluster."""
        return Overview(
            epoch=self.epoch,
            budget=self._budget,
            reserved=self._state.reserved(now_s),
            gathering_s=max(self._gathers_until_s - now_s, 0.0) if self._is_gathering else 0.0,
            stations=tuple(self._station(self._members[station], now_s) for station in sorted(self._members)),
        )

    def _station(self, member: _Member, now_s: float) -> StationOverview:
        heard = [run for run in (member.present, member.newcomer) if run is not None]
        reports = {point.number: point for point in member.report.points} if member.report else {}
        bound_s = member.present.bound_s if member.present is not None else -math.inf
        return StationOverview(
            station=member.known.station,
            fallback=member.fallback,
            rating=member.known.rating,
            met=member.is_met,
            lost=member.admitted_s is None or member.lost_since_s is not None,
            link_age_s=now_s - max(run.heard_s for run in heard) if heard else None,
            lease_remaining_s=max(bound_s - now_s, 0.0),
            points=tuple(self._point(member, number, reports.get(number), now_s) for number in member.known.points),
        )

    def _point(self, member: _Member, number: int, report: PointReport | None, now_s: float) -> PointOverview:
        state = self._state.points[member.key(number)]
        return PointOverview(
            number=number,
            active=report.active if report else False,
            limit=report.limit if report else PAUSE,
            granted=state.commanded,
            held=report.held if report else PAUSE,
            flowing=report.flowing if report else PAUSE,
            reserved=state.reserved(now_s),
            waiting=state.waiting,
            phases=state.phases,
        )
