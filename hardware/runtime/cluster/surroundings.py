"""Who else is in the network, and where the master is."""

import asyncio
import logging
from types import TracebackType
from typing import Self

from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster import discovery, keys
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.discovery import Announcement, Neighbour, Neighbourhood
from loadmgmt.cluster.failures import LinkFailed
from loadmgmt.cluster.member_link import ask_master
from loadmgmt.cluster.registration import MasterInfo
from station.domain.snapshot import ClusterFoundSnapshot

logger = logging.getLogger(__name__)

# What one master knows of another one's time is this old at most, on either side; nearer than that they are equal.
_SURELY_LONGER_S, _PERHAPS_EQUAL_S = 5, 8

# Anybody can announce masters that never answer; asked one after the other, they would keep the true ones apart.
_ASKED_AT_ONCE = 20


def must_stand_down(own: MasterInfo, other: MasterInfo) -> bool:
    """Return whether the other one goes on leading when both do: who leads longer, of equals the smaller serial number.

    Both compare what they know of each other at different moments. Never do both stay; that both stand down may happen,
    and then they begin one after the other.
    """
    longer_s = other.leading_s - own.leading_s
    return longer_s > _SURELY_LONGER_S or (abs(longer_s) <= _PERHAPS_EQUAL_S and other.station < own.station)


class Surroundings:
    """Announces the station and searches for others for as long as it is entered; a fixed address wins."""

    def __init__(self, settings: ClusterSettings, *, points: int) -> None:
        self._settings = settings
        self._points = points
        self._cluster = ""
        self._attempt = 0
        self._neighbourhood: Neighbourhood | None = None

    async def __aenter__(self) -> Self:
        self._cluster = (await asyncio.to_thread(keys.derive, self._settings.key)).name
        self._neighbourhood = Neighbourhood(self._announcement(leads=False))
        await self._neighbourhood.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._neighbourhood is not None:
            await self._neighbourhood.stop()

    @property
    def cluster(self) -> str:
        """The public name of the cluster, made from its pairing code."""
        return self._cluster

    @property
    def problem(self) -> str:
        """Why others cannot be searched for; empty: they can."""
        return self._neighbourhood.problem if self._neighbourhood is not None else ""

    async def announce(self, *, leads: bool) -> None:
        """Let the others find a master here, or none any more."""
        if self._neighbourhood is not None:
            await self._neighbourhood.announce(self._announcement(leads=leads))

    def master(self) -> Target | None:
        """Return where a slave finds its master; None: it was not found yet."""
        if self._settings.address:
            return Target.parse(self._settings.address)
        targets = [each.target for each in self._masters() if each.target is not None]
        return targets[self._attempt % len(targets)] if targets else None

    def try_another(self) -> None:
        """Take note that the master named last could not be used.

        Anybody in the network can announce one; whoever tried only the first might never find the true one.
        """
        self._attempt += 1

    async def other_masters(self, *, asks_fixed_address: bool) -> list[tuple[Neighbour, MasterInfo]]:
        """Return the other stations that prove to lead this cluster.

        `asks_fixed_address`: also whoever is at the fixed address, which searching need not find (behind a router).
        """
        turn = asyncio.Semaphore(_ASKED_AT_ONCE)
        found = [(each, each.target) for each in self._masters() if each.target is not None]
        asked: list[tuple[Neighbour | None, Target]] = [*found]
        if asks_fixed_address and self._settings.address:
            asked.append((None, Target.parse(self._settings.address)))
        answers = await asyncio.gather(*(self._ask(target, turn) for _each, target in asked))
        others: dict[str, tuple[Neighbour, MasterInfo]] = {}
        for (each, target), info in zip(asked, answers, strict=True):
            if info is not None and info.station not in {self._settings.station, *others}:
                others[info.station] = (each or self._at(target, info), info)
        return list(others.values())

    async def _ask(self, target: Target, turn: asyncio.Semaphore) -> MasterInfo | None:
        async with turn:
            try:
                return await ask_master(target, self._settings.key)
            except LinkFailed as failure:
                logger.debug("no master at %s: %s", target, failure)
                return None

    def _at(self, target: Target, info: MasterInfo) -> Neighbour:
        return Neighbour(
            station=info.station,
            name=info.name,
            role=discovery.MASTER,
            points=self._points,
            cluster=self._cluster,
            target=target,
            web="",
        )

    def found(self) -> tuple[ClusterFoundSnapshot, ...]:
        """Return the stations in the network."""
        stations = self._neighbourhood.stations() if self._neighbourhood is not None else ()
        return tuple(self.shown(each) for each in stations)

    def claimant(self) -> Neighbour | None:
        """Return a station that is set to lead this cluster, too, and does not: it was refused.

        It only says so; nothing is decided by that.
        """
        stations = self._neighbourhood.stations() if self._neighbourhood is not None else ()
        claiming = (
            each
            for each in stations
            if each.role == discovery.MASTER and each.target is None and each.cluster == self._cluster
        )
        return next((each for each in claiming if each.station != self._settings.station), None)

    def is_slave(self, station: str) -> bool:
        """Return whether a station is found as a slave of this cluster."""
        stations = self._neighbourhood.stations() if self._neighbourhood is not None else ()
        return any(
            each.station == station and each.role == discovery.SLAVE and each.cluster == self._cluster
            for each in stations
        )

    def shown(self, station: Neighbour) -> ClusterFoundSnapshot:
        """Return a station as people see it."""
        return ClusterFoundSnapshot(
            id=station.station,
            name=station.name,
            role=station.role,
            points=station.points,
            address=str(station.target) if station.target is not None else "",
            web=station.web,
            same_cluster=station.cluster == self._cluster,
        )

    def _masters(self) -> tuple[Neighbour, ...]:
        return self._neighbourhood.masters(self._cluster) if self._neighbourhood is not None else ()

    def _announcement(self, *, leads: bool) -> Announcement:
        settings = self._settings
        return Announcement(
            station=settings.station,
            name=settings.name,
            role=discovery.MASTER if settings.leads else discovery.SLAVE,
            points=self._points,
            cluster=self._cluster,
            port=Target.to_listen(settings.address).port if leads else 0,
            web=discovery.own_pages(),
        )
