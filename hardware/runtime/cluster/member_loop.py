"""A slave's side: it reports what its charging points want and takes what it is lent."""

import asyncio
import logging
from dataclasses import replace

from hardware.runtime.cluster import place
from hardware.runtime.cluster.demand import Demands
from hardware.runtime.cluster.surroundings import Surroundings
from hardware.runtime.cluster_shares import ClusterSettings, ClusterShares
from hardware.runtime.limits import LimitLoop
from hardware.runtime.records import RecordStore
from hardware.runtime.snapshot_publisher import SnapshotPublisher
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.failures import LinkFailed, Reason
from loadmgmt.cluster.member_link import MemberLink
from station import clock
from station.domain.cluster.messages import Grant, MessageIsMalformed
from station.domain.cluster.timing import EXCHANGE_S
from station.domain.snapshot import ClusterSnapshot, decode

logger = logging.getLogger(__name__)

# A master that was not found or not reached is tried again so soon.
AGAIN_S = 2.0
# How soon a demand that has changed, or a share that a board has carried out, is told.
SLICE_S = 0.2
# What people see of the other stations is fetched as often as pages redraw for it.
OVERVIEW_S = 2.0
# A master that refuses the station for this reserves nothing for it.
_NO_PLACE = frozenset({Reason.FALLBACKS, Reason.FULL, Reason.ID_TAKEN, Reason.REFUSED})
_STATES = dict.fromkeys(_NO_PLACE, "not_admitted") | {Reason.ID_TAKEN: "id_taken"}


class MemberLoop:
    """Speaks with the master of the cluster."""

    def __init__(
        self,
        settings: ClusterSettings,
        records: RecordStore,
        *,
        shares: ClusterShares,
        demands: Demands,
        limits: LimitLoop,
        snapshots: SnapshotPublisher,
    ) -> None:
        self._settings = settings
        self._records = records
        self._shares = shares
        self._demands = demands
        self._limits = limits
        self._snapshots = snapshots
        self._changed = asyncio.Event()
        # What the last report knows of the points; what they do while it is on its way is news.
        self._told: object = None
        self._is_connected = False
        self._is_leaving = False
        self._has_left = asyncio.Event()
        self._malformed = 0
        self._overview_s = 0.0
        self._others: ClusterSnapshot | None = None
        # Why it was not reached, told to the log once, and shown until it is reached.
        self._failed: LinkFailed | None = None

    def demand_changed(self) -> None:
        """Report soon."""
        self._changed.set()

    async def run(self) -> None:
        """Look for the master and speak with it, for ever."""
        password = await self._records.execute(place.own_password)
        async with Surroundings(self._settings, points=len(self._demands.numbers)) as surroundings:
            while True:
                target = surroundings.master()
                self._show_attempt(surroundings, target)
                if target is not None:
                    await self._stay(target, password, surroundings)
                await asyncio.sleep(AGAIN_S)

    async def say_goodbye(self) -> None:
        """Report for the last time: nothing is asked for any more, and what the boards still hold."""
        if self._is_connected:
            self._is_leaving = True
            self._changed.set()
            await self._has_left.wait()

    async def _stay(self, target: Target, password: str, surroundings: Surroundings) -> None:
        """Exchange messages for as long as that works."""
        link = MemberLink(target, self._settings.key, place.of(self._settings, self._demands.numbers), password)
        try:
            await link.connect()
            self._note_place(is_reserved=True)
            self._is_connected = True
            has_news = True
            while True:
                await self._exchange(link, is_news=has_news)
                self._failed = None
                await self._look_at_others(link)
                self._show("member", surroundings, target)
                has_news = await self._wait(link)
                if self._is_leaving:
                    await self._exchange(link, is_news=True)
                    self._has_left.set()
                    await asyncio.Event().wait()
        except LinkFailed as failure:
            if self._failed is None or failure.reason is not self._failed.reason:
                logger.warning("the master at %s: %s", target, failure)
            self._failed = failure
            if failure.reason in _NO_PLACE:
                self._note_place(is_reserved=False)
            surroundings.try_another()
            self._show_attempt(surroundings, target)
        finally:
            self._is_connected = False
            await link.close()

    def _note_place(self, *, is_reserved: bool) -> None:
        self._shares.note_place(clock.monotonic_s(), is_reserved=is_reserved)
        self._limits.leases_changed()

    async def _exchange(self, link: MemberLink, *, is_news: bool) -> None:
        now_s = clock.monotonic_s()
        is_news |= self._changed.is_set()
        self._changed.clear()
        self._told = self._demands.essence()
        points = self._demands.without_energy() if self._is_leaving else self._demands.take(now_s)
        report = self._shares.member(now_s).report(now_s, points)
        self._take(await link.exchange(report.encode(), is_news=is_news))

    async def _wait(self, link: MemberLink) -> bool:
        """Wait until a report is due: its time has come, or there is news that the others wait for (True)."""
        until_s = clock.monotonic_s() + EXCHANGE_S
        while clock.monotonic_s() < until_s:
            if self._has_news():
                return True
            self._take(await link.wait_for_grant(SLICE_S))
        return self._has_news()

    def _has_news(self) -> bool:
        return self._changed.is_set() or self._is_leaving or self._demands.essence() != self._told

    def _take(self, raw: bytes | None) -> None:
        if raw is None:
            return
        try:
            grant = Grant.decode(raw)
        except MessageIsMalformed as error:
            self._malformed += 1
            logger.warning("the master's grant is malformed: %s", error)
            return
        now_s = clock.monotonic_s()
        member = self._shares.member(now_s)
        if member.take(grant, now_s):
            # Before anything else runs: a raise that was decided under the lease before must not be written any more.
            self._limits.leases_changed()
        if member.is_report_due:
            self._changed.set()

    async def _look_at_others(self, link: MemberLink) -> None:
        now_s = clock.monotonic_s()
        if now_s - self._overview_s < OVERVIEW_S:
            return
        self._overview_s = now_s
        self._others = decode(ClusterSnapshot, await link.overview())

    def _show_attempt(self, surroundings: Surroundings, target: Target | None) -> None:
        """Show that the master is looked for; a further attempt is no news of one that did not answer."""
        failure = self._failed
        if target is None:
            self._show("searching", surroundings, target)
        elif failure is None:
            self._show("joining", surroundings, target)
        else:
            self._show(_STATES.get(failure.reason, "silent"), surroundings, target, failure)

    def _show(
        self, state: str, surroundings: Surroundings, target: Target | None, failure: LinkFailed | None = None
    ) -> None:
        others = self._others or ClusterSnapshot(enabled=True)
        present = replace(
            others,
            enabled=True,
            state=state,
            problem=failure.reason.value if failure else "",
            problem_detail=failure.detail if failure else "",
            master_address=str(target) if target else "",
            found=surroundings.found(),
            search_problem=surroundings.problem,
            malformed=self._malformed,
        )
        if present != self._shares.present:
            self._shares.present = present
            self._snapshots.station_changed()
