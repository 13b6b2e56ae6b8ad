"""Whether the fallbacks of a cluster fit under its limit, and what happens when all links fail."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from station.domain.cluster.leader import KnownMember, Overview, PointOverview, StationOverview
from station.domain.cluster.timing import RISE_AFTER_S
from station.domain.units import MilliAmpere


@dataclass(frozen=True, kw_only=True)
class WorstCase:
    """What the points of a cluster may draw on each phase when every link has failed for long enough."""

    sum: MilliAmpere
    limit: MilliAmpere

    @property
    def is_safe(self) -> bool:
        """Return whether that is within the limit."""
        return self.sum <= self.limit


def worst_case(limit: MilliAmpere, members: Iterable[KnownMember]) -> WorstCase:
    """Sum up the fallbacks; every point counts on every phase, since nobody knows how cars are connected then."""
    return WorstCase(
        sum=MilliAmpere(sum(len(member.points) * member.fallback for member in members)),
        limit=limit,
    )


@dataclass(frozen=True, kw_only=True)
class Failing:
    """What a station does when nobody hears anybody from now on.

    `now`: what its points may draw together. `falls_in_s`: when its lease ends at the latest, and `falls_to` what they
    keep then. `rises_in_s`: when they may rise to the fallback, and `rises_to` what that is together.
    """

    station: str
    now: MilliAmpere
    falls_in_s: float
    falls_to: MilliAmpere
    rises_in_s: float
    rises_to: MilliAmpere


@dataclass(frozen=True, kw_only=True)
class Moment:
    """So much all points may draw together, on the phase with the highest sum, from so many seconds on."""

    in_s: float
    sum: MilliAmpere


@dataclass(frozen=True, kw_only=True)
class LinksFail:
    """What happens when all links fail now: station by station, and the sum at each step."""

    stations: tuple[Failing, ...]
    moments: tuple[Moment, ...]


def when_links_fail(overview: Overview) -> LinksFail:
    """Foretell it from the present of the cluster; currents are upper bounds, a rise may come a few seconds later."""
    stations = tuple(_failing(station) for station in overview.stations)
    falls_in_s = max((each.falls_in_s for each in stations), default=0.0)
    rises_in_s = max((each.rises_in_s for each in stations), default=0.0)
    return LinksFail(
        stations=stations,
        moments=(
            Moment(in_s=0.0, sum=_highest(overview, _now)),
            Moment(in_s=falls_in_s, sum=_highest(overview, _kept)),
            Moment(in_s=rises_in_s, sum=_highest(overview, _risen)),
        ),
    )


_Current: TypeAlias = Callable[[StationOverview, PointOverview], int]


def _now(station: StationOverview, point: PointOverview) -> int:
    # The fallback of a lost station is reserved beside what it may hold by an old lease.
    return max(point.reserved, station.fallback) if station.lost else point.reserved


def _kept(station: StationOverview, point: PointOverview) -> int:
    return station.fallback if station.lost else min(point.reserved, station.fallback)


def _risen(station: StationOverview, _point: PointOverview) -> int:
    return station.fallback


def _failing(station: StationOverview) -> Failing:
    def together(current: _Current) -> MilliAmpere:
        return MilliAmpere(sum(current(station, point) for point in station.points))

    return Failing(
        station=station.station,
        now=together(_now),
        falls_in_s=station.lease_remaining_s,
        falls_to=together(_kept),
        # The leader counts a lease with a margin; a member whose link has failed long ago may rise at any time.
        rises_in_s=station.lease_remaining_s + RISE_AFTER_S if station.lease_remaining_s else 0.0,
        rises_to=together(_risen),
    )


def _highest(overview: Overview, current: _Current) -> MilliAmpere:
    sums = dict.fromkeys((1, 2, 3), 0)
    for station in overview.stations:
        for point in station.points:
            for phase in point.phases:
                sums[phase] += current(station, point)
    return MilliAmpere(max(sums.values()))
