"""What a master writes down: who belongs to its cluster, and what happens to them.

The database may keep anybody waiting, so this runs beside the decisions.
"""

import asyncio
import logging
from collections.abc import Iterable

from hardware.runtime.cluster.leading import Leading
from hardware.runtime.records import RecordStore
from loadmgmt.cluster import members
from loadmgmt.cluster.failures import LinkFailed, Reason
from loadmgmt.cluster.leader_link import LeaderLink
from loadmgmt.cluster.members import MemberRefused
from loadmgmt.cluster.registration import MAX_STATIONS, Registration, Station
from loadmgmt.cluster.server import ClusterServer
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.snapshot import ClusterRefusalSnapshot
from station.services import event_log

logger = logging.getLogger(__name__)

# How often the database is asked whether somebody has let a station go, and events are looked for.
LOOK_S = 2.0
JOINED_CODE, REFUSED_CODE = "cluster.member_joined", "cluster.member_refused"
LOST_CODE, SERVER_CODE = "cluster.member_lost", "cluster.server_failed"


class Books:
    """Admits stations, lets them go, and tells the event log."""

    def __init__(self, records: RecordStore, leading: Leading, link: LeaderLink, server: ClusterServer) -> None:
        self.refusal: ClusterRefusalSnapshot | None = None
        # The link has one connection for questions; whoever asks holds this.
        self.link_is_free = asyncio.Lock()
        self._records = records
        self._leading = leading
        self._link = link
        self._server = server
        self._waiting: list[Registration] = []
        self._is_due = asyncio.Event()
        self._link_failed = False
        self._told_lost: frozenset[str] | None = None
        self._told_server: str | None = None
        # Why whom was refused: a station asks again every few seconds, and the event log is told once.
        self._told_refused: dict[str, Reason] = {}

    @property
    def malformed(self) -> int:
        """How many registrations made no sense."""
        return self._link.malformed

    def take(self, registrations: Iterable[Registration]) -> None:
        """Take who wants to be a member."""
        self._waiting.extend(registrations)
        if self._waiting:
            self._is_due.set()

    def note_link_failure(self, failure: LinkFailed) -> None:
        """Take note that the server did not do what it was asked; what is wrong with it is its own to say."""
        logger.debug("the server of the cluster: %s", failure)

    async def run(self) -> None:
        """Keep the books for ever."""
        while True:
            await wait_or_timeout(self._is_due, LOOK_S)
            self._is_due.clear()
            waiting, self._waiting = self._waiting, []
            try:
                for registration in waiting:
                    await self._judge(registration)
                await self._let_go()
            except LinkFailed as failure:
                # Who was not answered asks again.
                self.note_link_failure(failure)
            await self._tell()

    async def _judge(self, registration: Registration) -> None:
        station = registration.who.station
        try:
            is_new = await self._records.attempt(
                members.adopt, registration, own=self._leading.own.station, at=clock.now()
            )
        except MemberRefused as refusal:
            self.refusal = ClusterRefusalSnapshot(at=clock.now(), station=station, reason=refusal.reason.value)
            await self._tell_refusal(station, refusal.reason)
            async with self.link_is_free:
                await self._link.refuse(registration, refusal.reason)
            return
        if is_new is None:
            # It could not be written down; nobody is led whom a restart would not know.
            return
        self._told_refused.pop(station, None)
        self._leading.adopt(registration.who)
        async with self.link_is_free:
            await self._link.admit(registration)
        if is_new:
            await self._records.attempt(event_log.log, JOINED_CODE, at=clock.now(), station=station)

    async def _tell_refusal(self, station: str, reason: Reason) -> None:
        """Tell the event log, once for each reason; strangers with ever new names do not fill it."""
        if self._told_refused.get(station) is reason:
            return
        if station in self._told_refused or len(self._told_refused) < MAX_STATIONS:
            entry = await self._records.attempt(
                event_log.log, REFUSED_CODE, at=clock.now(), station=station, reason=reason.value
            )
            if entry is not None:
                self._told_refused[station] = reason

    async def _let_go(self) -> None:
        """Forget the stations that somebody has removed from the table."""
        known: tuple[Station, ...] | None = await self._records.attempt(members.known)
        if known is None:
            return
        for station in self._leading.stations - {self._leading.own.station, *(each.station for each in known)}:
            self._leading.forget(station)
            async with self.link_is_free:
                await self._link.forget(station)

    async def _tell(self) -> None:
        now = clock.now()
        lost = self._leading.lost(clock.monotonic_s())
        before = self._told_lost if self._told_lost is not None else self._leading.stations
        for station in sorted(lost - (self._told_lost or frozenset())):
            await self._records.attempt(event_log.begin, LOST_CODE, at=now, station=station)
        for station in sorted(before - lost):
            await self._records.attempt(event_log.end, LOST_CODE, at=now, station=station)
        self._told_lost = lost
        problem = self._server.problem.value if self._server.problem else ""
        if problem != self._told_server:
            if problem:
                await self._records.attempt(event_log.begin, SERVER_CODE, at=now, reason=problem)
            else:
                await self._records.attempt(event_log.end, SERVER_CODE, at=now)
            self._told_server = problem
