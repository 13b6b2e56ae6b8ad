"""A station in a cluster: what it may draw while the leader is heard, and what when it is not.

The lease counts from the moment the member asked for it, on its own clock, so that a late grant is a short one. All
moments are seconds of one monotonic clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from station.domain.cluster.messages import Grant, GrantId, PointReport, Report
from station.domain.cluster.timing import LEASE_S, RISE_AFTER_S
from station.domain.limits import LimitSource
from station.domain.units import PAUSE, MilliAmpere


@dataclass(frozen=True, kw_only=True)
class _Question:
    """A report that has been sent, and the fallback it names."""

    sent_s: float
    fallback: MilliAmpere


@dataclass(frozen=True, kw_only=True)
class _Lease:
    """What is lent. `seq`: the report it was asked with; `fallback`: what the leader knows the fallback to be."""

    seq: int
    asked_s: float
    until_s: float
    fallback: MilliAmpere
    limits: Mapping[int, MilliAmpere]
    dimmed: frozenset[int]


class Member:
    """The member's side of the protocol.

    `run`: random for every start. `held`: what the controllers hold at this moment, per charging point; it is kept up
    to the fallback, and rises to it only when everybody else's lease is surely over. `jitter_s`: random, up to
    LARGEST_JITTER_S, so that the stations of a cluster do not rise together.
    """

    def __init__(
        self,
        *,
        station: str,
        run: str,
        fallback: MilliAmpere,
        held: Mapping[int, MilliAmpere],
        now_s: float,
        jitter_s: float,
    ) -> None:
        self.station = station
        self.run = run
        self.fallback = fallback
        self._present = {number: min(limit, fallback) for number, limit in held.items()}
        self._jitter_s = jitter_s
        self._seq = 0
        self._questions: dict[int, _Question] = {}
        self._lease: _Lease | None = None
        # A lease of before the start may have been asked for until now.
        self._rise_s = now_s + LEASE_S + RISE_AFTER_S + jitter_s
        self._taken: GrantId | None = None
        self._taken_s: float | None = None
        # What another leader than the present one sends must answer a younger report than this.
        self._met_at = 0
        self.waiting: frozenset[int] = frozenset()
        # What was taken last has changed something that the leader waits to hear confirmed: report at once.
        self.is_report_due = False

    # --- the exchange

    def report(self, now_s: float, points: Iterable[PointReport]) -> Report:
        """Ask: the next report, which must be sent at once."""
        self._seq += 1
        self.is_report_due = False
        self._questions = {
            seq: question for seq, question in self._questions.items() if now_s - question.sent_s < LEASE_S
        }
        self._questions[self._seq] = _Question(sent_s=now_s, fallback=self.fallback)
        return Report(
            station=self.station,
            run=self.run,
            seq=self._seq,
            fallback=self.fallback,
            lease_of=self._taken,
            rise_in_s=self.rise_in_s(now_s),
            points=tuple(replace(point, granted=self._limit(point.number, now_s)[1]) for point in points),
        )

    def take(self, grant: Grant, now_s: float) -> bool:
        """Take a grant; return whether it was new and in time. `is_report_due` tells whether to report back at once."""
        question = self._questions.get(grant.seq)
        if grant.run != self.run or question is None or not self._is_newer(grant):
            return False
        until_s = question.sent_s + min(grant.valid_s, LEASE_S)
        if now_s >= until_s:
            return False
        if grant.limits is not None and grant.limits.keys() != self._present.keys():
            return False
        self.is_report_due |= self._taken is None or self._taken.epoch != grant.epoch
        if grant.limits is not None:
            is_renewed = self.is_led(now_s) and self._lease is not None and self._lease.limits == grant.limits
            self.is_report_due |= not is_renewed
            self._lease = _Lease(
                seq=grant.seq,
                asked_s=question.sent_s,
                until_s=until_s,
                fallback=question.fallback,
                limits=dict(grant.limits),
                dimmed=grant.dimmed,
            )
            self._rise_s = max(self._rise_s, question.sent_s + LEASE_S + RISE_AFTER_S + self._jitter_s)
            self.waiting = grant.waiting
        if self._taken is None or self._taken.epoch != grant.epoch:
            self._met_at = self._seq
        self._taken = GrantId(epoch=grant.epoch, number=grant.number)
        self._taken_s = now_s
        return True

    def _is_newer(self, grant: Grant) -> bool:
        if self._lease is not None and grant.seq < self._lease.seq:
            return False
        if self._taken is None:
            return True
        if grant.epoch == self._taken.epoch:
            return grant.number > self._taken.number
        return grant.seq > self._met_at

    # --- what holds

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        """Return what the cluster, or its silence, leaves a charging point; a dimmed cluster names who dims it."""
        source, limit = self._limit(number, now_s)
        return {source: limit}

    def next_change_s(self, now_s: float) -> float | None:
        """Return when a limit next changes because the leader is not heard; None: never."""
        moments = [self._rise_s] if self._lease is None else [self._lease.until_s, self._rise_s]
        return min((moment for moment in moments if moment > now_s), default=None)

    def is_led(self, now_s: float) -> bool:
        """Return whether a lease holds."""
        return self._lease is not None and now_s < self._lease.until_s

    def lease_remaining_s(self, now_s: float) -> float | None:
        """Return how long the lease still holds without another grant; None: none holds."""
        return self._lease.until_s - now_s if self._lease is not None and now_s < self._lease.until_s else None

    def link_age_s(self, now_s: float) -> float | None:
        """Return how long ago the leader was heard; None: never."""
        return None if self._taken_s is None else now_s - self._taken_s

    def rise_in_s(self, now_s: float) -> float:
        """Return how long until the points may draw the fallback, if nothing is heard until then."""
        return max(self._rise_s - now_s, 0.0)

    def _limit(self, number: int, now_s: float) -> tuple[LimitSource, MilliAmpere]:
        lease = self._lease
        if lease is not None and now_s < lease.until_s:
            source = LimitSource.GRID_OPERATOR if number in lease.dimmed else LimitSource.CLUSTER
            return source, lease.limits.get(number, PAUSE)
        if lease is None:
            fallback, before = self.fallback, self._present.get(number, PAUSE)
        else:
            # The others have been reduced for the fallback of which the leader knew.
            fallback, before = min(self.fallback, lease.fallback), lease.limits.get(number, PAUSE)
        return LimitSource.CLUSTER_SILENT, fallback if now_s >= self._rise_s else min(before, fallback)
