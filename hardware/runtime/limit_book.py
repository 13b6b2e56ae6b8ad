"""The current limit of every charging point: all sources gathered, and the mains shared out."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol, Self

from hardware.runtime.leased_limits import LeasedLimits
from hardware.runtime.point import ChargingPoint
from station.concurrency import until_tick_s
from station.domain.allocation import (
    Budget,
    Demand,
    Policy,
    State,
    allocate,
    confirmed,
    measured,
    phase_rotations,
    step,
    supply_phases,
)
from station.domain.charging_profiles import (
    Installed,
    ProfileLimit,
    RateUnit,
    limit_at,
    next_change_after,
    station_limit_at,
)
from station.domain.limits import EffectiveLimit, LimitSource, Rest, effective, floor_to_step
from station.domain.supervision import IDLE_CURRENT
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere
from station.services import charging_profiles, configuration, identity

# Within one station a raise costs nothing: no hysteresis, only the time a reduction needs to become real.
# The clock of this computer may run fast: half a per cent of five seconds is more than a write to a board takes.
WITHIN_STATION = Policy(raise_at_least=MilliAmpere(100), raise_after_s=0.0, settle_s=5.1, pause_settle_s=6.1)
_MA_PER_A = 1_000
# Meters and cars are not exact: so much of its limit a car may take before it counts with what it takes.
_TAKES_MORE_PERCENT = 110
# A board, or a contactor, that has not followed a reduction after so long does not follow it: the others make room.
STUCK_AFTER_S = 6.0
# Limits are computed anew at least so often: cars and cables change without a wake-up.
RECOMPUTE_S = 1.0
# Where nobody charges, a limit is only shown; whatever begins or changes is computed at once.
RECOMPUTE_IDLE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Framework:
    """What the limits depend on outside the charging points, read from the database at once."""

    mains: MilliAmpere
    rating: MilliAmpere
    profiles: tuple[Installed, ...] = ()
    rotations: Mapping[int, str] = field(default_factory=dict)

    def phases_of(self, point: ChargingPoint) -> frozenset[int]:
        """Return the phases of the mains that a charging point may load by its wiring, whatever its car uses now."""
        return supply_phases(self.rotations.get(point.number, ""), point.connected_phases)


def read_framework() -> Framework:
    """Read configuration and charging profiles."""
    return Framework(
        mains=MilliAmpere(configuration.get_int("/power/station/mainsMaxCurrent")),
        rating=MilliAmpere(identity.load().rated_current_a * _MA_PER_A),
        profiles=charging_profiles.installed(),
        rotations=phase_rotations(configuration.get("ConnectorPhaseRotation")),
    )


@dataclass(frozen=True, kw_only=True)
class PointLimit:
    """The limit of a charging point and every source it comes from; `failure`: why it could not be computed."""

    effective: EffectiveLimit
    sources: Mapping[LimitSource, MilliAmpere]
    failure: Exception | None = None

    @classmethod
    def not_computed(cls, failure: Exception) -> Self:
        """Return no energy, in the place of a limit that nobody knows."""
        sources = {LimitSource.FAULT: PAUSE}
        return cls(effective=effective(sources), sources=sources, failure=failure)


def _source_of(limit: ProfileLimit) -> LimitSource:
    if not limit.is_readable:
        return LimitSource.UNREADABLE_PROFILE
    return LimitSource.CHARGING_PROFILE if limit.is_timed else LimitSource.UNTIMED_PROFILE


def _least_of(*limits: Mapping[LimitSource, MilliAmpere]) -> dict[LimitSource, MilliAmpere]:
    """Return all limits; of those that have the same source the lowest."""
    least: dict[LimitSource, MilliAmpere] = {}
    for each in limits:
        least |= {source: min(value, least.get(source, value)) for source, value in each.items()}
    return least


def _named_by_the_station(
    found: EffectiveLimit, asked: EffectiveLimit, limits: dict[LimitSource, MilliAmpere]
) -> EffectiveLimit:
    """Return the same limit; where the cluster lends all that it was asked for, by the name of what keeps it from more.

    A station asks for no more than it can use, so it is lent no more. That is not the cluster's doing: people would
    look for it at the other stations, and an energy manager would take its own limit for one of somebody else's. So
    `limits`, what is shown, gets that source in the place of the cluster.
    """
    if found.source is not LimitSource.CLUSTER or floor_to_step(asked.limit) > found.limit:
        return found
    limits[asked.source] = min(limits.pop(LimitSource.CLUSTER), limits.get(asked.source, asked.limit))
    return EffectiveLimit(limit=found.limit, source=asked.source)


def _flowing_beyond(point: ChargingPoint, held: MilliAmpere) -> MilliAmpere:
    """Return what flows if it is more than a meter's error beyond what the board holds; PAUSE: it is not."""
    exceeds = point.flowing > max(held * _TAKES_MORE_PERCENT // 100, IDLE_CURRENT)
    return point.flowing if exceeds else PAUSE


def _began(point: ChargingPoint, now: datetime, now_s: float) -> datetime | None:
    """Return when the session began, told by a clock that has always gone as it goes now.

    Schedules relative to it must not jump when the clock is set.
    """
    return now - timedelta(seconds=now_s - point.session.began_s) if point.session else None


class Rests:
    """Keeps the contactors of running sessions from being closed again and again, whoever changes the limits.

    A pause is never held up, and the first one ends at once. Faults end sessions by rules of their own.
    """

    def __init__(self) -> None:
        # By charging point: the session and its rest.
        self._rests: dict[int, tuple[int, Rest]] = {}

    def limits_of(self, point: ChargingPoint, now_s: float) -> dict[LimitSource, MilliAmpere]:
        """Return the pause that has to go on."""
        session_id, rest = self._of(point)
        return {LimitSource.CONTACTOR_REST: PAUSE} if session_id and rest.is_due(now_s) else {}

    def note(self, point: ChargingPoint, effective: EffectiveLimit, now_s: float) -> None:
        """Take the limit that is to hold now."""
        session_id, rest = self._of(point)
        if not session_id:
            self._rests.pop(point.number, None)
        elif effective.source is not LimitSource.FAULT:
            self._rests[point.number] = session_id, rest.following(effective.limit, now_s)

    def next_end_s(self, now_s: float) -> float | None:
        """Return when the next pause that has to go on may end; None: there is none."""
        return min((rest.until_s for _, rest in self._rests.values() if rest.is_due(now_s)), default=None)

    def _of(self, point: ChargingPoint) -> tuple[int, Rest]:
        session_id = point.session.id if point.session else 0
        known = self._rests.get(point.number)
        return known if known and known[0] == session_id else (session_id, Rest())


class GridOperator(Protocol):
    """What the grid operator leaves the whole station."""

    def budget_total(self, now_s: float) -> MilliAmpere | None:
        """Return what may be drawn on all phases together; None: the grid operator does not dim."""

    def next_change_s(self, now_s: float) -> float | None:
        """Return the moment at which that changes by itself; None: never."""


class LimitBook:
    """Computes limits."""

    def __init__(self, leased: LeasedLimits, dimming: GridOperator, cluster: LeasedLimits) -> None:
        self.framework = Framework(mains=PAUSE, rating=PAUSE)
        self.state = State()
        self._leased = leased
        self._cluster = cluster
        self._rests = Rests()
        self._dimming = dimming
        # Since when more is held, or flows, than was told; by charging point.
        self._beyond_since_s: dict[int, float] = {}
        # Whether the wall clock has been right since the computer started.
        self.time_is_known = True

    def assume(self, points: Collection[ChargingPoint], now_s: float) -> None:
        """Begin with what the boards have released before the restart; a silent one may have released everything."""
        held = {str(point.number): point.actuator.held for point in points}
        self.state = State.assuming(
            {key: each.limit if each else self.framework.rating for key, each in held.items()},
            now_s,
            policy=WITHIN_STATION,
        )

    def own_limits(
        self, point: ChargingPoint, now: datetime, now_s: float, *, station_blocked: bool
    ) -> dict[LimitSource, MilliAmpere]:
        """Gather every source but what is shared: the mains, and the cluster."""
        limits = {LimitSource.RATING: self.framework.rating, **self._leased.limits_of(point.number, now_s)}
        total = self._dimming.budget_total(now_s)
        if total is not None:
            limits[LimitSource.GRID_OPERATOR] = MilliAmpere(total // len(self.framework.phases_of(point)))
        cable = point.status.cable if point.status else None
        if cable:
            limits[LimitSource.CABLE] = cable
        if point.blocked or station_blocked:
            limits[LimitSource.FAULT] = PAUSE
        began = _began(point, now, now_s)
        profile = limit_at(
            now,
            point.number,
            self.framework.profiles,
            began,
            time_is_known=self.time_is_known,
            connected=point.connected_phases,
        )
        if profile is not None:
            limits[_source_of(profile)] = profile.current
        if point.session and point.session.suspended:
            limits[LimitSource.LOCAL] = PAUSE
        return limits

    def _budget(self, now: datetime) -> tuple[Budget, LimitSource]:
        """Return what all points share, and which source leaves the least of it."""
        mains = self.framework.mains
        profile = station_limit_at(now, self.framework.profiles, time_is_known=self.time_is_known)
        if profile is None or profile.current >= mains:
            return Budget.uniform(mains), LimitSource.STATION_MAINS
        if profile.unit is RateUnit.W:
            # Watts are the sum of all phases: a point that is connected by one may have all of them.
            return Budget.uniform(mains, total=profile.total), _source_of(profile)
        return Budget.uniform(profile.current), _source_of(profile)

    def _dimmed(self, budget: Budget, demands: Iterable[Demand], now_s: float) -> Budget | None:
        """Return what the grid operator leaves of it for all points; None: nothing less."""
        total = self._dimming.budget_total(now_s)
        loaded = frozenset[int]().union(*(demand.phases for demand in demands))
        undimmed = budget.l1 * len(loaded) if budget.total is None else budget.total
        return replace(budget, total=total) if total is not None and total < undimmed else None

    def compute(
        self, points: Collection[ChargingPoint], now: datetime, now_s: float, *, station_blocked: bool
    ) -> dict[int, PointLimit]:
        """Go on to this moment: the effective limit of every point and all sources it comes from.

        A point without a session is given what it could have, so that people see what would limit it. One whose own
        limits cannot be computed is given nothing; the others go on.
        """
        budget, budget_source = self._budget(now)
        alone: dict[int, dict[LimitSource, MilliAmpere]] = {}
        own: dict[int, dict[LimitSource, MilliAmpere]] = {}
        failures: dict[int, Exception] = {}
        for point in points:
            try:
                alone[point.number] = self.own_limits(point, now, now_s, station_blocked=station_blocked)
                own[point.number] = _least_of(
                    alone[point.number],
                    self._cluster.limits_of(point.number, now_s),
                )
            except Exception as failure:  # noqa: BLE001 - one profile must not end the control of all points
                alone[point.number] = own[point.number] = {LimitSource.FAULT: PAUSE}
                failures[point.number] = failure
        resting = {point.number: self._rests.limits_of(point, now_s) for point in points}
        demands = [
            Demand(
                point_id=str(point.number),
                active=point.session is not None,
                limit=effective(own[point.number] | resting[point.number]).limit,
                phases=self.framework.phases_of(point),
                waiting_since_s=point.session.began_s if point.session else 0.0,
                stuck_at=self._stuck_at(point, now_s),
            )
            for point in points
        ]
        for point in points:
            # A board that does not take a reduction keeps what it holds; nobody else is given it.
            held = point.actuator.held
            if held is not None:
                self.state = confirmed(self.state, str(point.number), held.limit, held.since_s, policy=WITHIN_STATION)
                # A welded contactor, or a car that does not follow: what flows counts, whatever was told.
                flowing = _flowing_beyond(point, held.limit)
                self.state = measured(self.state, str(point.number), flowing)
        dimmed = self._dimmed(budget, demands, now_s)
        self.state, _ = step(self.state, demands, now_s, budget=dimmed or budget, policy=WITHIN_STATION)
        shared_source = LimitSource.GRID_OPERATOR if dimmed else budget_source
        # Without the rests: while one lasts people read what has paused.
        is_lent = any(LimitSource.CLUSTER in each for each in own.values())
        asked = self._asked(points, alone, now, now_s) if is_lent else {}
        computed = {}
        for point, demand in zip(points, demands, strict=True):
            if point.number in failures:
                computed[point.number] = PointLimit.not_computed(failures[point.number])
                continue
            share = self.state.points[demand.point_id].commanded
            limits = own[point.number]
            enough = not demand.active or share >= floor_to_step(demand.limit)
            limits[LimitSource.STATION_MAINS] = self.framework.mains
            most = budget.most_for(demand.phases)
            limits[budget_source] = min(most, limits.get(budget_source, most))
            if not enough:
                limits[shared_source] = min(share, limits.get(shared_source, share))
            found = effective(limits)
            if found.limit >= MINIMUM_CURRENT and resting[point.number]:
                # Only now it is the rest that pauses; until here it was what has paused before, and people read that.
                limits |= resting[point.number]
                found = effective(limits)
            if is_lent:
                found = _named_by_the_station(found, asked[point.number], limits)
            self._rests.note(point, found, now_s)
            computed[point.number] = PointLimit(effective=found, sources=limits)
        return computed

    def _stuck_at(self, point: ChargingPoint, now_s: float) -> MilliAmpere:
        """Return what a point goes on with although it was told less long ago; PAUSE: nothing."""
        told, held = self.state.points.get(str(point.number)), point.actuator.held
        limit = max(held.limit, _flowing_beyond(point, held.limit)) if held else PAUSE
        if told is None or limit <= told.commanded:
            self._beyond_since_s.pop(point.number, None)
            return PAUSE
        since_s = self._beyond_since_s.setdefault(point.number, now_s)
        return limit if now_s - since_s >= STUCK_AFTER_S else PAUSE

    def is_dimmed_with_others(self, present: Mapping[int, PointLimit], now_s: float) -> bool:
        """Return whether the grid operator leaves a point less because it dims the cluster."""
        return any(
            each.effective.source is LimitSource.GRID_OPERATOR
            and LimitSource.GRID_OPERATOR in self._cluster.limits_of(number, now_s)
            for number, each in present.items()
        )

    def requests(
        self, points: Collection[ChargingPoint], now: datetime, now_s: float, *, station_blocked: bool
    ) -> dict[int, MilliAmpere]:
        """Return what the station could give each point if there were no cluster: what it asks the cluster for.

        Two points at one mains are not asked for more than the mains can carry: what it lends them they could not use.
        """
        alone: dict[int, dict[LimitSource, MilliAmpere]] = {}
        for point in points:
            try:
                alone[point.number] = self.own_limits(point, now, now_s, station_blocked=station_blocked)
            except Exception:  # noqa: BLE001 - the computation of the limits finds the same and reports it
                alone[point.number] = {LimitSource.FAULT: PAUSE}
            alone[point.number] |= self._rests.limits_of(point, now_s)
        return {number: asked.limit for number, asked in self._asked(points, alone, now, now_s).items()}

    def _asked(
        self,
        points: Collection[ChargingPoint],
        alone: Mapping[int, Mapping[LimitSource, MilliAmpere]],
        now: datetime,
        now_s: float,
    ) -> dict[int, EffectiveLimit]:
        """Return what the cluster is asked for at each point by these limits, and what keeps it from being more."""
        budget, budget_source = self._budget(now)
        found, demands = {}, []
        for point in points:
            found[point.number] = effective(alone[point.number])
            before = self.state.points.get(str(point.number))
            demands.append(
                Demand(
                    point_id=str(point.number),
                    active=point.session is not None,
                    limit=found[point.number].limit,
                    phases=self.framework.phases_of(point),
                    waiting_since_s=point.session.began_s if point.session else 0.0,
                    charging_since_s=before.charging_since_s if before else None,
                )
            )
        dimmed = self._dimmed(budget, demands, now_s)
        shared_source = LimitSource.GRID_OPERATOR if dimmed else budget_source
        shares = allocate(dimmed or budget, demands, WITHIN_STATION, now_s=now_s)
        return {
            point.number: EffectiveLimit(limit=share.limit, source=shared_source)
            if demand.active and share.limit < demand.limit
            else found[point.number]
            for point, demand, share in zip(points, demands, shares, strict=True)
        }

    def next_change(self, points: Collection[ChargingPoint], now: datetime, now_s: float) -> datetime | None:
        """Tell when a profile next changes a limit by itself."""
        moments = [
            next_change_after(
                now,
                self.framework.profiles,
                connector_id=point.number,
                transaction_start=_began(point, now, now_s),
                time_is_known=self.time_is_known,
            )
            for point in points
        ]
        return min((moment for moment in moments if moment is not None), default=None)

    def next_due_s(self, points: Collection[ChargingPoint], now: datetime, now_s: float) -> float:
        """Return in how many seconds something that limits depend on changes by itself, a recomputation at most."""
        in_use = any(point.state.has_session or point.actuator.enabled for point in points)
        wait_s = until_tick_s(RECOMPUTE_S if in_use else RECOMPUTE_IDLE_S, now_s)
        try:
            change = self.next_change(points, now, now_s)
        except Exception:  # noqa: BLE001 - the computation of the limits finds the same and reports it
            change = None
        if change is not None:
            wait_s = min(wait_s, max((change - now).total_seconds(), 0.0))
        moments_s = (
            self.state.next_settled_s(now_s),
            self._leased.next_change_s(now_s),
            self._cluster.next_change_s(now_s),
            self._dimming.next_change_s(now_s),
            self._rests.next_end_s(now_s),
        )
        for moment_s in moments_s:
            if moment_s is not None:
                wait_s = min(wait_s, max(moment_s - now_s, 0.0))
        return wait_s
