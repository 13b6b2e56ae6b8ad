"""What every station may draw, step by step, when the master loses all its slaves at once.

Computed from what the stations may draw now, with the times of the protocol; nothing here is measured.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from station.domain.allocation import Budget, Demand, allocate
from station.domain.cluster import timing
from station.domain.snapshot import ClusterPointSnapshot, ClusterStationSnapshot
from station.domain.units import PAUSE, MilliAmpere

_PHASES = (1, 2, 3)
_MASTER = "master"


class Step(StrEnum):
    """What happens one after the other."""

    NOW = "now"
    MASTER_REDUCES = "master_reduces"
    LEASES_END = "leases_end"
    MASTER_SHARES_REST = "master_shares_rest"
    FALLBACKS = "fallbacks"


# When each of them has happened at the latest, in seconds after the links were cut.
LATEST_S: Mapping[Step, float] = {
    Step.NOW: 0.0,
    Step.MASTER_REDUCES: timing.LOST_AFTER_S + timing.DECIDE_S,
    Step.LEASES_END: timing.LEASE_S,
    Step.MASTER_SHARES_REST: timing.LEASE_BOUND_S + timing.POLICY.pause_settle_s,
    Step.FALLBACKS: timing.LEASE_S + timing.RISE_AFTER_S + timing.LARGEST_JITTER_S,
}


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What the points of each station (by its id) may draw after a step, and the sum on each phase."""

    step: Step
    limits: Mapping[str, tuple[MilliAmpere, ...]]
    sums: tuple[MilliAmpere, MilliAmpere, MilliAmpere]


def outlook(stations: Sequence[ClusterStationSnapshot], limit: MilliAmpere) -> tuple[Outlook, ...]:
    """Return the steps in their order, for a cluster with this limit per phase."""
    masters = [station for station in stations if station.role == _MASTER]
    slaves = [station for station in stations if station.role != _MASTER]
    now = {each.id: tuple(point.granted_ma or PAUSE for point in each.points) for each in stations}
    # A station that is lost already may have got as far as its fallback.
    held = {
        each.id: tuple(max(granted, each.fallback_ma) if each.lost else granted for granted in now[each.id])
        for each in slaves
    }
    highest = {each.id: tuple(max(granted, each.fallback_ma) for granted in held[each.id]) for each in slaves}
    fallen = {each.id: tuple(min(granted, each.fallback_ma) for granted in held[each.id]) for each in slaves}
    risen = {each.id: (each.fallback_ma,) * len(each.points) for each in slaves}
    begin = {each.id: now[each.id] for each in masters}
    reduced = _shares(masters, limit, _sums(slaves, highest), at_most=begin)
    rest = _shares(masters, limit, _sums(slaves, risen))
    steps = (
        (Step.NOW, begin | held),
        (Step.MASTER_REDUCES, reduced | held),
        (Step.LEASES_END, reduced | fallen),
        (Step.MASTER_SHARES_REST, rest | fallen),
        (Step.FALLBACKS, rest | risen),
    )
    return tuple(Outlook(step=step, limits=limits, sums=_sums(stations, limits)) for step, limits in steps)


def _shares(
    masters: Iterable[ClusterStationSnapshot],
    limit: MilliAmpere,
    reserved: tuple[MilliAmpere, MilliAmpere, MilliAmpere],
    *,
    at_most: Mapping[str, tuple[MilliAmpere, ...]] | None = None,
) -> dict[str, tuple[MilliAmpere, ...]]:
    """Divide what the reserved currents leave of the limit among the points that the master still reaches."""
    left = [MilliAmpere(max(0, limit - each)) for each in reserved]
    found: dict[str, tuple[MilliAmpere, ...]] = {}
    for station in masters:
        demands = [_demand(point) for point in station.points]
        shares = tuple(each.limit for each in allocate(Budget(l1=left[0], l2=left[1], l3=left[2]), demands))
        if at_most is not None:
            shares = tuple(min(pair) for pair in zip(shares, at_most[station.id], strict=True))
        found[station.id] = shares
    return found


def _demand(point: ClusterPointSnapshot) -> Demand:
    return Demand(
        point_id=str(point.number),
        active=point.active,
        limit=point.limit_ma,
        phases=frozenset(point.phases),
        # Whoever charges keeps the place.
        charging_since_s=0.0 if point.granted_ma else None,
    )


def _sums(
    stations: Iterable[ClusterStationSnapshot], limits: Mapping[str, tuple[MilliAmpere, ...]]
) -> tuple[MilliAmpere, MilliAmpere, MilliAmpere]:
    sums = dict.fromkeys(_PHASES, 0)
    for station in stations:
        for point, limit in zip(station.points, limits[station.id], strict=True):
            for phase in point.phases:
                sums[phase] += limit
    return MilliAmpere(sums[1]), MilliAmpere(sums[2]), MilliAmpere(sums[3])
