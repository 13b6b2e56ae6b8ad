"""A master's side of its own server: it takes registrations, reads reports and writes grants."""

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import TypeVar

from loadmgmt.cluster import access
from loadmgmt.cluster.connection import EXCHANGE_S, Session, bounded, open_session, over_socket
from loadmgmt.cluster.failures import LinkFailed, Reason
from loadmgmt.cluster.registration import MAX_STATIONS, MasterInfo, Registration, RegistrationIsMalformed
from loadmgmt.cluster.server import ClusterServer

# What a member reads later than this was not decided for the present; its lease has ended as well.
GRANT_EXPIRES_MS = 30_000
OVERVIEW_EXPIRES_MS = 30_000
# Shorter than another one waits before it begins to lead.
MASTER_EXPIRES_MS = 5_000
_ANSWER_EXPIRES_MS = 30_000
# Registrations that wait, and messages that are read in one go: whoever knows the code may send any number of them.
# Each costs the database a question, so the next decision takes the rest.
_MOST_PENDING = 2 * MAX_STATIONS
_SERVED_AT_ONCE = 50
_MOST_MESSAGES = 500

_Result = TypeVar("_Result")


class LeaderLink:
    """Everything the master does in its server. Every failure is a `LinkFailed`; the next call connects anew."""

    def __init__(self, server: ClusterServer) -> None:
        # Registrations that made no sense, for people who look for the reason.
        self.malformed = 0
        self._server = server
        self._session: Session | None = None
        self._is_connecting = asyncio.Lock()
        self._is_listening = asyncio.Lock()
        # By serial number, the one that has waited longest first; the newest of each counts.
        self._pending: dict[str, Registration] = {}

    async def reports(self) -> Mapping[str, bytes]:
        """Return every member's newest report, the same one until there is a newer. Raises LinkFailed.

        A report that is too long is cut, so that whoever reads it finds it malformed.
        """
        stations = list(self._server.members)
        session = await self._connected()
        if not stations:
            return {}
        pipeline = session.client.pipeline(transaction=False)
        for station in stations:
            pipeline.getrange(access.report_key(station), 0, access.MAX_REPORT_BYTES)
        found = await self._in(session, pipeline.execute())
        return {station: report for station, report in zip(stations, found, strict=True) if report}

    async def publish(self, grants: Mapping[str, bytes], overview: bytes, master: MasterInfo) -> None:
        """Write grants, what everybody is shown, and who leads. Raises LinkFailed."""
        session = await self._connected()
        pipeline = session.client.pipeline(transaction=False)
        for station, grant in grants.items():
            pipeline.set(access.grant_key(station), grant, px=GRANT_EXPIRES_MS)
            pipeline.publish(access.grant_key(station), grant)
        pipeline.set(access.OVERVIEW_KEY, overview, px=OVERVIEW_EXPIRES_MS)
        pipeline.set(access.MASTER_KEY, master.encode(), px=MASTER_EXPIRES_MS)
        await self._in(session, pipeline.execute())

    async def wait_for_report(self, timeout_s: float) -> bool:
        """Return when a member has news or somebody registers; False when nobody did in time. Raises LinkFailed."""
        session = await self._connected()
        async with self._is_listening:
            if not await self._listen(session, timeout_s):
                return False
            for _ in range(_MOST_MESSAGES):
                if not await self._listen(session, 0):
                    break
        return True

    async def registrations(self) -> tuple[Registration, ...]:
        """Return who wants to be a member and has not been answered. Raises LinkFailed."""
        if not self._is_listening.locked():
            await self.wait_for_report(0)
        served = list(self._pending)[:_SERVED_AT_ONCE]
        return tuple(self._pending.pop(station) for station in served)

    async def admit(self, registration: Registration) -> None:
        """Make somebody a member, and tell it. Raises LinkFailed."""
        station, password_hash = registration.who.station, registration.password_hash
        if self._server.members.get(station) != password_hash:
            rules = access.station_rules(station, password_hash)
            await self._order("ACL", "SETUSER", access.user_name(station), *rules)
            self._server.members[station] = password_hash
        await self._tell(registration, access.ADMITTED)

    async def refuse(self, registration: Registration, reason: Reason) -> None:
        """Tell somebody why it is no member. Raises LinkFailed."""
        await self._tell(registration, reason.value.encode())

    async def forget(self, station: str) -> None:
        """Let a member go and end its connections. Raises LinkFailed."""
        self._server.members.pop(station, None)
        await self._order("ACL", "DELUSER", access.user_name(station))
        await self._order("DEL", access.report_key(station), access.grant_key(station))

    async def close(self) -> None:
        """Stand down: nobody finds a leader here any more."""
        session, self._session = self._session, None
        if session is None:
            return
        # When the server is gone, so is the key.
        with suppress(LinkFailed):
            await bounded(session.client.delete(access.MASTER_KEY))
        await session.close()

    async def _tell(self, registration: Registration, answer: bytes) -> None:
        key = access.answer_key(registration.nonce)
        await self._order("SET", key, answer, "PX", _ANSWER_EXPIRES_MS)

    async def _order(self, *words: str | bytes | int) -> None:
        session = await self._connected()
        await self._in(session, session.client.execute_command(*words))  # type: ignore[no-untyped-call]

    async def _listen(self, session: Session, timeout_s: float) -> bool:
        message = await self._in(session, session.next_message(timeout_s), seconds=timeout_s + EXCHANGE_S)
        if message is None:
            return False
        channel, content = message
        if channel == access.JOIN_CHANNEL:
            self._take(content)
        return True

    def _take(self, message: bytes) -> None:
        try:
            registration = Registration.decode(message)
        except RegistrationIsMalformed:
            self.malformed += 1
            return
        station = registration.who.station
        if station in self._pending or len(self._pending) < _MOST_PENDING:
            self._pending[station] = registration

    async def _connected(self) -> Session:
        async with self._is_connecting:
            if self._session is None:
                password = self._server.leader_password
                client = over_socket(self._server.path, user=access.LEADER, password=password)
                self._session = await open_session(client, access.JOIN_CHANNEL, access.REPORT_CHANNEL)
            return self._session

    async def _in(self, session: Session, work: Awaitable[_Result], *, seconds: float = EXCHANGE_S) -> _Result:
        try:
            return await bounded(work, seconds=seconds)
        except LinkFailed:
            if self._session is session:
                self._session = None
                await session.close()
            raise
