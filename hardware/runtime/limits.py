"""The current limit of every charging point: all sources gathered, the station's mains shared out."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from station.domain.allocation import Budget, Demand, Policy, State, step, supply_phases
from station.domain.charging_profiles import Installed, limit_at, next_change_after, station_limit_at
from station.domain.limits import EffectiveLimit, LimitSource, effective, floor_to_step
from station.domain.units import PAUSE, MilliAmpere
from station.services import charging_profiles, configuration, identity

if TYPE_CHECKING:
    from hardware.runtime.point import ChargingPoint

# Within one station a raise costs nothing: no hysteresis, only the time a reduction needs to become real.
WITHIN_STATION = Policy(raise_at_least=MilliAmpere(100), raise_after_s=0.0)
# A phase counts as used from this current on (loadmanagement.md, section 4).
PHASE_IN_USE = MilliAmpere(500)
_SECOND = 1_000


@dataclass(frozen=True, kw_only=True)
class Framework:
    """What the limits depend on outside the charging points, read from the database at once."""

    mains: MilliAmpere
    rating: MilliAmpere
    profiles: tuple[Installed, ...] = ()
    rotations: dict[int, str] = field(default_factory=dict)


def read_framework() -> Framework:
    """Read configuration and charging profiles."""
    rotations = {}
    for item in configuration.get_list("ConnectorPhaseRotation"):
        number, _, rotation = item.partition(".")
        if number.isdigit():
            rotations[int(number)] = rotation
    return Framework(
        mains=MilliAmpere(configuration.get_int("/power/station/mainsMaxCurrent")),
        rating=MilliAmpere(identity.load().rated_current_a * _SECOND),
        profiles=charging_profiles.installed(),
        rotations=rotations,
    )


class LimitBook:
    """Computes limits; `extra` sources (cluster, energy manager) are set by whoever brings them."""

    def __init__(self) -> None:
        self.framework = Framework(mains=PAUSE, rating=PAUSE)
        self.state = State()
        self.extra: dict[int, dict[LimitSource, MilliAmpere]] = {}

    def assume(self, points: "Iterable[ChargingPoint]", now_s: float) -> None:
        """Begin with what the boards may be drawing since before the restart."""
        self.state = State.assuming(
            {str(point.number): point.actuator.may_draw(now_s) for point in points}, now_s, policy=WITHIN_STATION
        )

    def own_limits(
        self, point: "ChargingPoint", now: datetime, *, station_blocked: bool
    ) -> dict[LimitSource, MilliAmpere]:
        """Gather every source but the shared mains."""
        limits = {LimitSource.RATING: self.framework.rating, **self.extra.get(point.number, {})}
        cable = point.status.cable if point.status else None
        if cable:
            limits[LimitSource.CABLE] = cable
        if point.blocked or station_blocked:
            limits[LimitSource.FAULT] = PAUSE
        started = point.session.started_at if point.session else None
        profile = limit_at(now, point.number, self.framework.profiles, started)
        if profile is not None:
            limits[LimitSource.CHARGING_PROFILE] = profile.current
        if point.session and point.session.suspended:
            limits[LimitSource.LOCAL] = PAUSE
        return limits

    def _budget(self, now: datetime) -> tuple[MilliAmpere, LimitSource]:
        profile = station_limit_at(now, self.framework.profiles)
        if profile is not None and profile.current < self.framework.mains:
            return profile.current, LimitSource.CHARGING_PROFILE
        return self.framework.mains, LimitSource.STATION_MAINS

    def compute(
        self, points: "Iterable[ChargingPoint]", now: datetime, now_s: float, *, station_blocked: bool
    ) -> dict[int, tuple[EffectiveLimit, dict[LimitSource, MilliAmpere]]]:
        """Go on to this moment: the effective limit of every point and all sources it comes from.

        A point without a session is given what it could have, so that people see what would limit it.
        """
        points = list(points)
        budget, budget_source = self._budget(now)
        own = {point.number: self.own_limits(point, now, station_blocked=station_blocked) for point in points}
        demands = [
            Demand(
                point_id=str(point.number),
                active=point.session is not None,
                limit=effective(own[point.number]).limit,
                phases=self._phases(point),
                waiting_since_s=point.session.started_at.timestamp() if point.session else 0.0,
                # A board that does not take a reduction keeps what it may draw; nobody else is given it.
                reachable=not point.actuator.is_out_of_reach,
                fallback=point.actuator.may_draw(now_s),
            )
            for point in points
        ]
        self.state, _ = step(self.state, demands, now_s, budget=Budget.uniform(budget), policy=WITHIN_STATION)
        answer = {}
        for point, demand in zip(points, demands, strict=True):
            share = self.state.points[demand.point_id].commanded
            limits = own[point.number]
            enough = not demand.active or share >= floor_to_step(demand.limit)
            limits[LimitSource.STATION_MAINS] = self.framework.mains
            shared = budget if enough else share
            limits[budget_source] = min(shared, limits.get(budget_source, shared))
            answer[point.number] = (effective(limits), limits)
        return answer

    def _phases(self, point: "ChargingPoint") -> frozenset[int]:
        """Assume all phases until a charging car has shown which it uses."""
        reading = point.reading
        if reading is None or point.state.phase != "charging" or None in reading.currents:
            return supply_phases("", 0)
        used = sum(1 for current in reading.currents if (current or 0) > PHASE_IN_USE)
        return supply_phases(self.framework.rotations.get(point.number, "RST"), used)

    def next_change(self, points: "Iterable[ChargingPoint]", now: datetime) -> datetime | None:
        """Tell when a profile next changes a limit by itself."""
        moments = [
            next_change_after(
                now,
                self.framework.profiles,
                connector_id=point.number,
                transaction_start=point.session.started_at if point.session else None,
            )
            for point in points
        ]
        return min((moment for moment in moments if moment is not None), default=None)
