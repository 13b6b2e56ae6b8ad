"""A cluster's transport in memory, with the same methods as loadmgmt.cluster's server and links, and failures by hand.

network = ClusterNetwork()
server = network.server()
leader = network.leader_link(server)
member = network.member_link("WB-0002")
network.cut("WB-0002")          # its exchanges fail from now on
network.heal("WB-0002")
"""

import asyncio
from collections.abc import Mapping

from loadmgmt.cluster.failures import LinkFailed, Reason, ServerProblem
from loadmgmt.cluster.registration import MasterInfo, Registration, Station
from station.concurrency import wait_or_timeout


class ClusterNetwork:
    """What the stations of one test share."""

    def __init__(self) -> None:
        self.reports: dict[str, bytes] = {}
        self.grants: dict[str, bytes] = {}
        self.overview: bytes | None = None
        self.master: MasterInfo | None = None
        self.pending: list[Registration] = []
        self.answers: dict[str, str] = {}
        self.members: dict[str, str] = {}
        self.is_serving = False
        self.failure = Reason.UNREACHABLE
        self.reported = asyncio.Event()
        self.granted: dict[str, asyncio.Event] = {}
        self.joined = asyncio.Event()
        self._cut: set[str] = set()

    def server(self) -> "FakeServer":
        return FakeServer(self)

    def leader_link(self, server: "FakeServer") -> "FakeLeaderLink":
        return FakeLeaderLink(self)

    def member_link(self, who: Station, password_hash: str = "0" * 64) -> "FakeMemberLink":
        return FakeMemberLink(self, who, password_hash)

    def cut(self, station: str) -> None:
        self._cut.add(station)

    def heal(self, station: str) -> None:
        self._cut.discard(station)

    def check(self, station: str) -> None:
        if not self.is_serving or station in self._cut:
            raise LinkFailed(self.failure)


class FakeServer:
    """Like loadmgmt.cluster.server.ClusterServer."""

    def __init__(self, network: ClusterNetwork) -> None:
        self._network = network
        self.problem: ServerProblem | None = None
        self.problem_detail = ""

    async def start(self) -> None:
        self._network.is_serving = self.problem is None

    async def stop(self) -> None:
        self._network.is_serving = False


class FakeLeaderLink:
    """Like loadmgmt.cluster.leader_link.LeaderLink."""

    def __init__(self, network: ClusterNetwork) -> None:
        self._network = network
        self.malformed = 0

    async def reports(self) -> Mapping[str, bytes]:
        self._check()
        return dict(self._network.reports)

    async def publish(self, grants: Mapping[str, bytes], overview: bytes, master: MasterInfo) -> None:
        self._check()
        self._network.overview, self._network.master = overview, master
        for station, grant in grants.items():
            self._network.grants[station] = grant
            self._network.granted.setdefault(station, asyncio.Event()).set()

    async def wait_for_report(self, timeout_s: float) -> bool:
        self._check()
        heard = await wait_or_timeout(self._network.reported, timeout_s)
        self._network.reported.clear()
        return heard

    async def registrations(self) -> tuple[Registration, ...]:
        self._check()
        arrived, self._network.pending = tuple(self._network.pending), []
        return arrived

    async def admit(self, registration: Registration) -> None:
        self._network.members[registration.who.station] = registration.password_hash
        self._answer(registration, "")

    async def refuse(self, registration: Registration, reason: Reason) -> None:
        self._answer(registration, reason.value)

    async def forget(self, station: str) -> None:
        self._network.members.pop(station, None)
        self._network.reports.pop(station, None)

    async def close(self) -> None:
        self._network.master = None

    def _answer(self, registration: Registration, answer: str) -> None:
        self._network.answers[registration.nonce] = answer
        self._network.joined.set()

    def _check(self) -> None:
        if not self._network.is_serving:
            raise LinkFailed(Reason.UNREACHABLE)


class FakeMemberLink:
    """Like loadmgmt.cluster.member_link.MemberLink."""

    def __init__(self, network: ClusterNetwork, who: Station, password_hash: str) -> None:
        self._network = network
        self._who = who
        self._password_hash = password_hash
        self._is_open = False

    async def connect(self) -> None:
        station = self._who.station
        self._network.check(station)
        if self._network.master is None:
            raise LinkFailed(Reason.NO_LEADER)
        nonce = f"{id(self):032x}"[-32:]
        registration = Registration(who=self._who, password_hash=self._password_hash, nonce=nonce)
        self._network.pending.append(registration)
        self._network.reported.set()
        while nonce not in self._network.answers:
            self._network.joined.clear()
            if not await wait_or_timeout(self._network.joined, 3):
                raise LinkFailed(Reason.NO_LEADER)
        if answer := self._network.answers.pop(nonce):
            raise LinkFailed(Reason(answer))
        self._is_open = True

    async def exchange(self, report: bytes) -> bytes | None:
        if not self._is_open:
            await self.connect()
        self._network.check(self._who.station)
        self._network.reports[self._who.station] = report
        self._network.reported.set()
        return self._network.grants.get(self._who.station)

    async def wait_for_grant(self, timeout_s: float) -> bytes | None:
        station = self._who.station
        self._network.check(station)
        event = self._network.granted.setdefault(station, asyncio.Event())
        if not await wait_or_timeout(event, timeout_s):
            return None
        event.clear()
        self._network.check(station)
        return self._network.grants.get(station)

    async def overview(self) -> bytes | None:
        self._network.check(self._who.station)
        return self._network.overview

    async def close(self) -> None:
        self._is_open = False
