"""The master's side: it hears all stations, its own like the others, and lends them the cluster's current."""

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from dataclasses import replace

from django.conf import settings as django_settings

from hardware.runtime.cluster import place
from hardware.runtime.cluster.books import Books
from hardware.runtime.cluster.demand import Demands
from hardware.runtime.cluster.leading import Leading
from hardware.runtime.cluster.surroundings import Surroundings, must_stand_down
from hardware.runtime.cluster_shares import STARTING, ClusterSettings, ClusterShares
from hardware.runtime.limit_book import GridOperator
from hardware.runtime.limits import LimitLoop
from hardware.runtime.records import RecordStore
from hardware.runtime.snapshot_publisher import SnapshotPublisher
from loadmgmt.cluster import discovery, members
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.failures import LinkFailed
from loadmgmt.cluster.leader_link import LeaderLink
from loadmgmt.cluster.registration import MasterInfo
from loadmgmt.cluster.server import ClusterServer
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.allocation import Budget
from station.domain.cluster.timing import DECIDE_S
from station.domain.snapshot import ClusterFoundSnapshot, ClusterSnapshot, encode
from station.services import event_log

logger = logging.getLogger(__name__)

# How soon a demand of its own points, or a share that their boards have carried out, counts.
SLICE_S = 0.2
# Another master is listened for so long before this one leads, and looked for so often while it does.
LISTEN_S = 3.0
# Every report wakes the master, and a hundred stations send fifty a second: a decision is followed by a rest of three
# times its own length, in which the event loop is free for the charging points and further reports are gathered.
_REST = 3.0
_MOST_CLAIMANTS = 20
SECOND_CODE = "cluster.second_master"


class LeaderLoop:
    """Divides the cluster's current among its stations."""

    def __init__(
        self,
        settings: ClusterSettings,
        records: RecordStore,
        *,
        shares: ClusterShares,
        demands: Demands,
        limits: LimitLoop,
        snapshots: SnapshotPublisher,
        grid_operator: GridOperator,
    ) -> None:
        self._settings = settings
        self._records = records
        self._shares = shares
        self._demands = demands
        self._limits = limits
        self._snapshots = snapshots
        self._grid_operator = grid_operator
        self._own = place.of(settings, demands.numbers)
        self._changed = asyncio.Event()
        # What the last decision knows of the own points; what they do while it is told is news.
        self._told: object = None
        self._second: ClusterFoundSnapshot | None = None
        self._claimants: set[str] = set()

    def demand_changed(self) -> None:
        """Decide soon."""
        self._changed.set()

    async def run(self) -> None:
        """Lead for ever, whenever nobody else does."""
        async with Surroundings(self._settings, points=len(self._own.points)) as surroundings:
            while True:
                await self._until_alone(surroundings)
                await self._lead(surroundings)

    async def say_goodbye(self) -> None:
        """Nobody has to be told: the leases end by themselves, and this station's own share with it."""

    async def _until_alone(self, surroundings: Surroundings) -> None:
        """Listen for another master of this cluster; while there is one, this station does not lead.

        One that is not heard any more may lead on behind a cut cable. Whoever was refused once waits until the other
        one is found as a slave, or until somebody has taken the role from this station.
        """
        self._show(STARTING)
        refusing = await self._records.execute(place.other_master, surroundings.cluster)
        while True:
            await asyncio.sleep(LISTEN_S + random.uniform(0.0, LISTEN_S))  # noqa: S311 - no secret
            others = await surroundings.other_masters(asks_fixed_address=True)
            found = others[0][0].station if others else refusing
            if not others and surroundings.is_slave(found):
                found = ""
            if found != refusing:
                refusing = found
                await self._records.execute(place.note_other_master, surroundings.cluster, refusing)
            if not refusing:
                self._second = None
                return
            # The other one need not know this station, and reserves nothing for its fallback then.
            self._note_place(is_reserved=False)
            if others:
                await self._note_second(surroundings.shown(others[0][0]))
            self._show(
                ClusterSnapshot(
                    enabled=True,
                    role="master",
                    state="refused",
                    problem="second_master",
                    problem_detail=str(others[0][0].target) if others else "",
                    second_master=self._second
                    or ClusterFoundSnapshot(id=refusing, name="", role=discovery.MASTER, points=0),
                    found=surroundings.found(),
                    search_problem=surroundings.problem,
                )
            )

    def _note_place(self, *, is_reserved: bool) -> None:
        self._shares.note_place(clock.monotonic_s(), is_reserved=is_reserved)
        self._limits.leases_changed()

    async def _note_second(self, other: ClusterFoundSnapshot) -> None:
        """Tell the event log that there is another master, once."""
        if self._second is None or self._second.id != other.id:
            name = " ".join(part for part in (other.name, other.id) if part)
            await self._records.attempt(event_log.log, SECOND_CODE, at=clock.now(), name=name)
        self._second = other

    async def _note_claimant(self, surroundings: Surroundings) -> None:
        """Show who was refused as a second master; the log is told once for each, as anybody can announce anything."""
        found = surroundings.claimant()
        if found is None:
            self._second = None
        elif found.station in self._claimants or len(self._claimants) >= _MOST_CLAIMANTS:
            self._second = surroundings.shown(found)
        else:
            self._claimants.add(found.station)
            await self._note_second(surroundings.shown(found))

    async def _watch_for_others(self, leading: Leading, server: ClusterServer, surroundings: Surroundings) -> None:
        """Return when another master is to go on instead of this one."""
        while True:
            await asyncio.sleep(LISTEN_S)
            # While the own server runs it is the one at the fixed address.
            others = await surroundings.other_masters(asks_fixed_address=not server.is_running)
            if not others:
                await self._note_claimant(surroundings)
            for other, info in others:
                await self._note_second(surroundings.shown(other))
                if must_stand_down(self._info(leading, clock.monotonic_s()), info):
                    logger.error("station %s leads this cluster, too; this one stands down", other.station)
                    return

    def _info(self, leading: Leading, now_s: float) -> MasterInfo:
        return MasterInfo(station=self._own.station, name=self._own.name, leading_s=int(now_s - leading.began_s))

    async def _lead(self, surroundings: Surroundings) -> None:
        """Lead until another master prevails."""
        known = await self._records.execute(members.known)
        server = ClusterServer(
            Target.to_listen(self._settings.address),
            self._settings.key,
            django_settings.DATA,
            members=await self._records.execute(members.password_hashes),
        )
        epoch = await self._records.execute(place.next_epoch)
        # From here on it reserves its fallback itself.
        self._note_place(is_reserved=True)
        leading = Leading(
            self._own, known, epoch=epoch.name, predecessor=epoch.predecessor, began_s=clock.monotonic_s()
        )
        link = LeaderLink(server)
        books = Books(self._records, leading, link, server)
        async with AsyncExitStack() as ends:
            # Last of all and whatever happens before: one that goes on would keep the port from the next.
            ends.push_async_callback(server.stop)
            await server.start()
            ends.push_async_callback(self._stand_down, link, books, surroundings)
            await surroundings.announce(leads=True)
            keeping = asyncio.create_task(books.run())
            watching = asyncio.create_task(self._watch_for_others(leading, server, surroundings))
            ends.push_async_callback(_ended, keeping, watching)
            while not watching.done():
                if keeping.done():
                    keeping.result()
                began_s = clock.monotonic_s()
                await self._step(leading, link, server, books, surroundings)
                await self._wait(link, books, rest_s(clock.monotonic_s() - began_s))
            watching.result()

    async def _stand_down(self, link: LeaderLink, books: Books, surroundings: Surroundings) -> None:
        """Let nobody find a leader here any more."""
        try:
            await surroundings.announce(leads=False)
        finally:
            async with books.link_is_free:
                await link.close()

    async def _step(
        self, leading: Leading, link: LeaderLink, server: ClusterServer, books: Books, surroundings: Surroundings
    ) -> None:
        """Hear everybody, decide, tell everybody."""
        try:
            async with books.link_is_free:
                books.take(await link.registrations())
                leading.hear(await link.reports(), clock.monotonic_s())
        except LinkFailed as failure:
            books.note_link_failure(failure)
        self._told = self._demands.essence()
        limit = self._shares.settings.limit
        if limit is None:
            # Only until the settings are followed.
            return
        self._changed.clear()
        now_s = clock.monotonic_s()
        self._follow_fallback(leading, now_s)
        member = self._shares.member(now_s)
        leading.hear_own(member.report(now_s, self._demands.take(now_s)), now_s)
        leading.rotate_after(self._shares.settings.rotate_after_s)
        grants = dict(leading.decide(Budget.uniform(limit, total=self._grid_operator.budget_total(now_s)), now_s))
        own = grants.pop(self._own.station, None)
        if own is not None and member.take(own, now_s):
            # Before anything else runs: a raise that was decided under the lease before must not be written any more.
            self._limits.leases_changed()
        if member.is_report_due:
            self._changed.set()
        present = self._present(leading, server, books, surroundings, now_s)
        self._show(present)
        info = self._info(leading, now_s)
        try:
            async with books.link_is_free:
                await link.publish(
                    {station: grant.encode() for station, grant in grants.items()},
                    encode(replace(present, found=(), own_id="")).encode(),
                    info,
                )
        except LinkFailed as failure:
            books.note_link_failure(failure)

    def _follow_fallback(self, leading: Leading, now_s: float) -> None:
        """Reserve another fallback of this station's own, and then let it hold."""
        fallback = self._shares.settings.fallback
        if fallback != self._own.fallback:
            self._own = replace(self._own, fallback=fallback)
            leading.adopt(self._own)
            self._shares.note_place(now_s, is_reserved=True)

    async def _wait(self, link: LeaderLink, books: Books, rest_s: float) -> None:
        """Wait until a decision is due: its time has come, somebody has reported, or the own points have news."""
        until_s = clock.monotonic_s() + DECIDE_S
        await asyncio.sleep(rest_s)
        while not self._changed.is_set() and self._demands.essence() == self._told and clock.monotonic_s() < until_s:
            try:
                async with books.link_is_free:
                    if await link.wait_for_report(SLICE_S):
                        return
            except LinkFailed as failure:
                books.note_link_failure(failure)
                await wait_or_timeout(self._changed, SLICE_S)

    def _show(self, present: ClusterSnapshot) -> None:
        if present != self._shares.present:
            self._shares.present = present
            self._snapshots.station_changed()

    def _present(
        self, leading: Leading, server: ClusterServer, books: Books, surroundings: Surroundings, now_s: float
    ) -> ClusterSnapshot:
        problem = server.problem
        return replace(
            leading.snapshot(now_s),
            enabled=True,
            role="master",
            state="no_server" if problem else "leading",
            problem=problem.value if problem else "",
            problem_detail=server.problem_detail if problem else "",
            master_id=self._own.station,
            master_address=str(Target.to_listen(self._settings.address)),
            limit_ma=self._shares.settings.limit,
            found=surroundings.found(),
            search_problem=surroundings.problem,
            second_master=self._second,
            refusal=books.refusal,
            malformed=leading.malformed + books.malformed,
        )


def rest_s(took_s: float) -> float:
    """Return how long to rest after a decision that took so long; never longer than decisions are apart anyway."""
    return min(_REST * took_s, DECIDE_S)


async def _ended(*tasks: asyncio.Task[None]) -> None:
    """End tasks; what they have failed with is of no interest any more."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
