"""A cluster in virtual time, as hostile as the protocol allows for: one random choice after the other, by a seed.

Messages are lost, delayed up to a minute, doubled and overtake one another, each direction on its own; members and the
leader are restarted and stopped for a while; clocks run at different rates; boards take their time. What a point may
draw is what its board holds, and what it held before for the time a car has to follow (IEC 61851-1: 5 s, 6 s for a
pause).
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count

from station.domain.allocation import ALL_PHASES, Budget
from station.domain.cluster.leader import KnownMember, Leader
from station.domain.cluster.member import Member
from station.domain.cluster.messages import Grant, PointReport, Report
from station.domain.cluster.timing import DECIDE_S, EXCHANGE_S, POLICY
from station.domain.units import MilliAmpere

HAPPENINGS = (*["demand"] * 3, *["link"] * 2, "restart", "stop", "leader restart", "leader stop", "limit")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How hostile a run is."""

    seed: int
    stations: int = 3
    limit: int = 63_000
    fallback: int = 6_000
    seconds: float = 300.0
    loss: float = 0.2
    late: float = 0.1
    latest_s: float = 60.0
    doubled: float = 0.1
    happenings: int = 25
    slowest_board_s: float = 2.0
    rotate_after_s: float = 0.0


@dataclass
class Site:
    """One station: its clock, its software, the board and the car."""

    name: str
    rate: float
    offset_s: float
    member: Member
    active: bool = False
    limit: int = 32_000
    since_s: float = 0.0
    aimed: int = 0
    held: int = 0
    before: list[tuple[int, float]] = field(default_factory=list)
    stopped_until_s: float = 0.0
    up: bool = True  # its reports arrive
    down: bool = True  # grants arrive
    writing: int = 0

    def clock(self, now_s: float) -> float:
        return self.offset_s + now_s * self.rate

    def may_draw(self, now_s: float) -> int:
        self.before = [each for each in self.before if each[1] > now_s]
        return max([self.held, *(value for value, _ in self.before)])


class Cluster:
    """The whole run; `highest` is the greatest sum that was possible at any instant."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dice = random.Random(plan.seed)
        self.now_s = 0.0
        self.highest = 0
        self.used: list[float] = []
        self.history: list[str] = []
        self._order = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._names = count(1)
        self.sites = {name: self._site(name) for name in (f"s{n}" for n in range(plan.stations))}
        self.leader_rate = self.dice.uniform(0.995, 1.005)
        self.leader_stopped_until_s = 0.0
        self.leader: Leader | None = None
        self.epoch = "never heard"
        self.leader_down_until_s = 0.0
        self.leads = 0

    # --- building

    def _site(self, name: str) -> Site:
        rate, offset_s = self.dice.uniform(0.995, 1.005), self.dice.uniform(0, 1e6)
        return Site(name=name, rate=rate, offset_s=offset_s, member=self._member(name, offset_s, 0))

    def _member(self, name: str, clock_s: float, held: int) -> Member:
        return Member(
            station=name,
            run=f"run{next(self._names)}",
            fallback=MilliAmpere(self.plan.fallback),
            held={1: MilliAmpere(held)},
            now_s=clock_s,
            jitter_s=self.dice.uniform(0, 4),
        )

    def leader_clock(self) -> float:
        return 5.0 + self.now_s * self.leader_rate

    def _lead(self) -> None:
        self.leads += 1
        predecessor, self.epoch = self.epoch, f"epoch{next(self._names)}"
        self.leader = Leader(
            [
                KnownMember(
                    station=name, points=(1,), fallback=MilliAmpere(self.plan.fallback), rating=MilliAmpere(32_000)
                )
                for name in self.sites
            ],
            epoch=self.epoch,
            predecessor=predecessor,
            now_s=self.leader_clock(),
            policy=replace(POLICY, rotate_after_s=self.plan.rotate_after_s),
        )

    # --- time

    def after(self, span_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._due, (self.now_s + span_s, next(self._order), act))

    def run(self) -> None:
        self._lead()
        for name in self.sites:
            self.after(self.dice.uniform(0, EXCHANGE_S), partial(self._exchange, name))
            self.after(self.dice.uniform(0, 1), partial(self._follow, name))
        self.after(0.5, self._decide_again)
        for _ in range(self.plan.happenings):
            self.after(self.dice.uniform(0, self.plan.seconds * 0.8), self._happen)
        while self._due and self._due[0][0] <= self.plan.seconds:
            self.now_s, _, act = heapq.heappop(self._due)
            act()
            self._check()

    def _check(self) -> None:
        total = sum(site.may_draw(self.now_s) for site in self.sites.values())
        self.highest = max(self.highest, total)

    def _note(self, text: str) -> None:
        self.history.append(f"{self.now_s:8.2f} {text}")

    # --- the network

    def _send(self, act: Callable[[], None]) -> None:
        dice = self.dice
        for _ in range(2 if dice.random() < self.plan.doubled else 1):
            if dice.random() >= self.plan.loss:
                late = dice.random() < self.plan.late
                self.after(dice.uniform(0, self.plan.latest_s) if late else dice.uniform(0.005, 0.3), act)

    def _exchange(self, name: str) -> None:
        self.after(EXCHANGE_S * self.dice.uniform(0.98, 1.02), lambda: self._exchange(name))
        self._report(name)

    def _report(self, name: str) -> None:
        site = self.sites[name]
        if self.now_s < site.stopped_until_s:
            return
        point = PointReport(
            number=1,
            active=site.active,
            limit=MilliAmpere(site.limit),
            held=MilliAmpere(max(site.held, site.aimed)),
            flowing=MilliAmpere(site.may_draw(self.now_s)),
            phases=ALL_PHASES,
            waiting_s=max(self.now_s - site.since_s, 0.0),
        )
        raw = site.member.report(site.clock(self.now_s), [point]).encode()
        if site.up:
            self._send(lambda: self._hear(raw))

    def _hear(self, raw: bytes) -> None:
        if self.now_s < self.leader_stopped_until_s:
            self.after(self.leader_stopped_until_s - self.now_s, lambda: self._hear(raw))
            return
        if self.leader is None:
            return
        self.leader.hear(Report.decode(raw), self.leader_clock())
        if self.dice.random() < 0.5:
            self._decide()

    def _decide_again(self) -> None:
        self.after(DECIDE_S * self.dice.uniform(0.98, 1.02), self._decide_again)
        self._decide()

    def _decide(self) -> None:
        if self.leader is None:
            if self.now_s >= self.leader_down_until_s:
                self._note("leader starts")
                self._lead()
            return
        if self.now_s < self.leader_stopped_until_s:
            return
        grants = self.leader.decide(self.leader_clock(), Budget.uniform(MilliAmpere(self.plan.limit)))
        for station, grant in grants.items():
            site = self.sites[station]
            if site.down:
                self._send(partial(self._take, site, grant.encode()))

    def _take(self, site: Site, raw: bytes) -> None:
        if self.now_s < site.stopped_until_s:
            self.after(site.stopped_until_s - self.now_s, lambda: self._take(site, raw))
            return
        grant = Grant.decode(raw)
        if site.member.take(grant, site.clock(self.now_s)):
            self._aim(site)
            if site.member.is_report_due:
                self._report(site.name)

    # --- the station

    def _follow(self, name: str) -> None:
        self.after(0.5, lambda: self._follow(name))
        self._aim(self.sites[name])

    def _aim(self, site: Site) -> None:
        if self.now_s < site.stopped_until_s:
            return
        (cluster,) = site.member.limits_of(1, site.clock(self.now_s)).values()
        aim = min(cluster, site.limit) if site.active else 0
        if aim < 6_000:
            aim = 0
        if aim == site.aimed:
            return
        site.aimed = aim
        site.writing += 1
        order = site.writing
        self.after(self.dice.uniform(0, self.plan.slowest_board_s), lambda: self._write(site, order))

    def _write(self, site: Site, order: int) -> None:
        # One write at a time, and always the newest limit.
        if order != site.writing or site.held == site.aimed:
            return
        if site.aimed < site.held:
            site.before.append((site.held, self.now_s + (5.0 if site.aimed else 6.0)))
        site.held = site.aimed
        self._report(site.name)

    # --- what happens

    def _happen(self) -> None:
        dice = self.dice
        site = self.sites[dice.choice(sorted(self.sites))]
        kind = dice.choice(HAPPENINGS)
        if kind == "demand":
            self.change_demand(site)
        elif kind == "limit":
            site.limit = dice.choice((0, 6_000, 10_000, 32_000))
            self._note(f"{site.name} limit {site.limit}")
        elif kind == "link":
            site.up, site.down = dice.choice(((True, True), (True, False), (False, True), (False, False)))
            self._note(f"{site.name} up {site.up} down {site.down}")
            self.after(dice.uniform(0, 120), lambda: self._heal(site))
        elif kind == "restart":
            # Whoever supervises has it in control again within 10 s.
            self._note(f"{site.name} restarts")
            site.stopped_until_s = self.now_s + dice.uniform(0.5, 10.0)
            self.after(site.stopped_until_s - self.now_s + 0.001, lambda: self._restart(site))
        elif kind == "stop":
            self._note(f"{site.name} stops")
            site.stopped_until_s = max(site.stopped_until_s, self.now_s + dice.uniform(0.5, 8.0))
        elif kind == "leader restart":
            self._note("leader ends")
            self.leader = None
            self.leader_down_until_s = self.now_s + dice.choice((0.0, 1.0, 5.0, dice.uniform(0, 60)))
        else:
            self._note("leader stops")
            self.leader_stopped_until_s = self.now_s + dice.uniform(0, 60)

    def change_demand(self, site: Site | None = None) -> None:
        """Let a car come or leave."""
        site = site or self.sites[self.dice.choice(sorted(self.sites))]
        site.active, site.since_s = not site.active, self.now_s
        self._note(f"{site.name} active {site.active}")
        self._report(site.name)

    def measure_use(self) -> None:
        """Note how much of what the cars could use of the limit they have."""
        wanted = min(sum(site.limit for site in self.sites.values() if site.active), self.plan.limit)
        if wanted:
            self.used.append(sum(site.held for site in self.sites.values()) / wanted)

    def _heal(self, site: Site) -> None:
        self._note(f"{site.name} heals")
        site.up = site.down = True

    def _restart(self, site: Site) -> None:
        site.aimed = site.held
        site.member = self._member(site.name, site.clock(self.now_s), max(site.held, site.aimed))
        self._note(f"{site.name} is back as {site.member.run}")
