"""The leader's account with what belongs around it: messages read, stations named, and the present for people."""

import logging
from collections.abc import Iterable, Mapping

from loadmgmt.cluster.registration import Station
from station.domain.allocation import Budget
from station.domain.cluster.leader import KnownMember, Leader, PointOverview, ReportRefused, StationOverview
from station.domain.cluster.messages import Grant, MessageIsMalformed, Report
from station.domain.cluster.timing import LEASE_S, LOST_AFTER_S
from station.domain.snapshot import ClusterPointSnapshot, ClusterSnapshot, ClusterStationSnapshot
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

logger = logging.getLogger(__name__)


class Leading:
    """One time of leading, from its begin to its end."""

    def __init__(
        self, own: Station, known: Iterable[Station], *, epoch: str, predecessor: str | None, began_s: float
    ) -> None:
        self.own = own
        self.began_s = began_s
        # Reports that made no sense, for people who look for the reason.
        self.malformed = 0
        self._stations = {each.station: each for each in (*known, own)}
        self._read: dict[str, bytes] = {}
        # Whose last report made no sense: the log is told when that begins, not every two seconds.
        self._unusable: set[str] = set()
        # Whose reports arrive but who takes no grant: since when they have been seen like that.
        self._deaf_since_s: dict[str, float] = {}
        self._leader = Leader(
            [_known(each) for each in self._stations.values()],
            epoch=epoch,
            predecessor=predecessor,
            now_s=began_s,
        )

    @property
    def stations(self) -> frozenset[str]:
        """The stations of the cluster."""
        return frozenset(self._stations)

    def adopt(self, station: Station) -> None:
        """Take a station in, or note what has changed about it."""
        self._stations[station.station] = station
        self._leader.adopt(_known(station))

    def forget(self, station: str) -> None:
        """Let a station go."""
        self._stations.pop(station, None)
        self._read.pop(station, None)
        self._unusable.discard(station)
        self._leader.forget(station)

    def hear(self, reports: Mapping[str, bytes], now_s: float) -> None:
        """Take the newest reports of the others; one that was read before says nothing new."""
        for station, raw in reports.items():
            if self._read.get(station) == raw or station not in self._stations:
                continue
            self._read[station] = raw
            try:
                self._leader.hear(_report_of(station, raw), now_s)
                self._unusable.discard(station)
            except (MessageIsMalformed, ReportRefused) as problem:
                self.malformed += 1
                if station not in self._unusable:
                    logger.warning("the reports of station %s cannot be used: %s", station, problem)
                self._unusable.add(station)

    def hear_own(self, report: Report, now_s: float) -> None:
        """Take the report of the master itself."""
        self._leader.hear(report, now_s)

    def rotate_after(self, span_s: float) -> None:
        """Let a point give its place to a waiting one after so long; 0: it keeps it until it is done."""
        self._leader.rotate_after(span_s)

    def decide(self, budget: Budget, now_s: float) -> Mapping[str, Grant]:
        """Return what is to be told now, and to whom."""
        return self._leader.decide(now_s, budget)

    def lost(self, now_s: float) -> frozenset[str]:
        """Return the stations that have not been heard for too long, or that have not heard for longer than a lease."""
        overview = self._leader.overview(now_s)
        since_begin_s = now_s - self.began_s
        is_gathering = overview.gathering_s > 0
        deaf = {each.station for each in overview.stations if each.lost and not is_gathering}
        self._deaf_since_s = {station: self._deaf_since_s.get(station, now_s) for station in deaf}
        return frozenset(
            each.station
            for each in overview.stations
            if (since_begin_s if each.link_age_s is None else each.link_age_s) > LOST_AFTER_S
            or now_s - self._deaf_since_s.get(each.station, now_s) > LEASE_S
        )

    def snapshot(self, now_s: float) -> ClusterSnapshot:
        """Return the present of all stations."""
        overview = self._leader.overview(now_s)
        reserved = overview.reserved
        return ClusterSnapshot(
            enabled=True,
            total_ma=_current(overview.budget.total) if overview.budget else None,
            reserved_ma=(reserved.l1, reserved.l2, reserved.l3),
            stations=tuple(self._station(each) for each in overview.stations),
        )

    def _station(self, seen: StationOverview) -> ClusterStationSnapshot:
        station = self._stations[seen.station]
        loads = {phase: sum(point.reserved for point in seen.points if phase in point.phases) for phase in (1, 2, 3)}
        return ClusterStationSnapshot(
            id=station.station,
            name=station.name,
            role="master" if station.station == self.own.station else "slave",
            points=tuple(_point(point) for point in seen.points),
            rating_ma=seen.rating,
            fallback_ma=seen.fallback,
            reserved_ma=MilliAmpere(max(loads.values())),
            link_age_s=None if seen.link_age_s is None else round(seen.link_age_s),
            lost=seen.lost,
        )


def _report_of(station: str, raw: bytes) -> Report:
    report = Report.decode(raw)
    if report.station != station:
        raise MessageIsMalformed("station")
    return report


def _known(station: Station) -> KnownMember:
    return KnownMember(station=station.station, points=station.points, fallback=station.fallback, rating=station.rating)


def _point(seen: PointOverview) -> ClusterPointSnapshot:
    return ClusterPointSnapshot(
        number=seen.number,
        state=_state(seen),
        active=seen.active,
        limit_ma=seen.limit,
        granted_ma=seen.granted,
        held_ma=seen.held,
        flowing_ma=seen.flowing,
        waiting=seen.waiting,
        phases=tuple(sorted(seen.phases)),
    )


def _state(seen: PointOverview) -> str:
    if not seen.active:
        return "idle"
    if seen.flowing > PAUSE:
        return "charging"
    if seen.limit < MINIMUM_CURRENT:
        return "paused"
    return "ready" if seen.granted >= MINIMUM_CURRENT else "waiting"


def _current(value: int | None) -> MilliAmpere | None:
    return None if value is None else MilliAmpere(value)
