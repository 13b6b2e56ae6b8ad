"""A station's side of the cluster: it joins, reports what it needs and is told what it may draw."""

import asyncio
import secrets
import ssl
from collections.abc import Awaitable
from typing import TypeVar

from redis.asyncio import Redis

from loadmgmt.cluster import access, certificates, keys
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.connection import (
    CONNECT_S,
    EXCHANGE_S,
    Session,
    as_bytes,
    bounded,
    closed,
    open_session,
    over_tls,
)
from loadmgmt.cluster.failures import LinkFailed, Reason
from loadmgmt.cluster.registration import MasterInfo, Registration, RegistrationIsMalformed, Station

# A report that is older than this says nothing about the present.
REPORT_EXPIRES_MS = 10_000
# The leader looks at registrations when it decides, once a second, and writes a new member into its database.
_ANSWERED_S = 5.0
_LOOK_S = 0.1
_NONCE_BYTES = 16

_Result = TypeVar("_Result")


class MemberLink:
    """Exchanges messages with a master; one station, one address. Every failure is a `LinkFailed` and ends the session.

    The next call begins a new one. Waiting for a grant and exchanging may run side by side.
    """

    def __init__(self, target: Target, code: str, who: Station, password: str) -> None:
        self._target = target
        self._code = code
        self._who = who
        self._password = password
        self._session: Session | None = None
        self._is_connecting = asyncio.Lock()

    async def connect(self) -> None:
        """Register with whoever leads there, and connect as a member. Raises LinkFailed."""
        await self.close()
        await self._connected()

    async def exchange(self, report: bytes, *, is_news: bool = True) -> bytes | None:
        """Hand in a report and fetch the newest grant, in one round trip. Raises LinkFailed.

        `is_news`: the leader is told at once; otherwise it sees the report when it decides the next time.
        """
        session = await self._connected()
        station = self._who.station
        pipeline = session.client.pipeline(transaction=False)
        pipeline.set(access.report_key(station), report, px=REPORT_EXPIRES_MS)
        if is_news:
            pipeline.publish(access.REPORT_CHANNEL, b"")
        pipeline.get(access.grant_key(station))
        return as_bytes((await self._in(session, pipeline.execute()))[-1])

    async def wait_for_grant(self, timeout_s: float) -> bytes | None:
        """Return a grant the leader has just written; None when there was none in time. Raises LinkFailed."""
        session = await self._connected()
        message = await self._in(session, session.next_message(timeout_s), seconds=timeout_s + EXCHANGE_S)
        return message[1] if message else None

    async def overview(self) -> bytes | None:
        """Return what the leader shows of the whole cluster. Raises LinkFailed."""
        session = await self._connected()
        return as_bytes(await self._in(session, session.client.get(access.OVERVIEW_KEY)))

    async def close(self) -> None:
        """Leave; the master sees that no report comes any more."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _connected(self) -> Session:
        async with self._is_connecting:
            if self._session is None:
                derived, tls = await _prepare(self._code)
                await self._register(derived, tls)
                self._session = await self._begin(tls)
            return self._session

    async def _begin(self, tls: ssl.SSLContext) -> Session:
        user = access.user_name(self._who.station)
        client = over_tls(self._target, tls, user=user, password=self._password)
        try:
            return await open_session(client, access.grant_key(self._who.station))
        except LinkFailed as failure:
            if failure.reason is Reason.WRONG_KEY:
                # It was admitted a moment ago: the server has been replaced since, or the station was forgotten.
                raise LinkFailed(Reason.NO_LEADER, failure.detail) from failure
            raise

    async def _in(self, session: Session, work: Awaitable[_Result], *, seconds: float = EXCHANGE_S) -> _Result:
        try:
            return await bounded(work, seconds=seconds)
        except LinkFailed:
            if self._session is session:
                await self.close()
            raise

    async def _register(self, derived: keys.ClusterKeys, tls: ssl.SSLContext) -> None:
        nonce = secrets.token_hex(_NONCE_BYTES)
        registration = Registration(who=self._who, password_hash=keys.password_hash(self._password), nonce=nonce)
        client = over_tls(self._target, tls, user=access.JOIN, password=derived.join_password)
        try:
            await bounded(_master_of(client), seconds=CONNECT_S + EXCHANGE_S)
            if not await bounded(client.publish(access.JOIN_CHANNEL, registration.encode())):
                raise LinkFailed(Reason.NO_LEADER)
            answer = await bounded(_answer(client, access.answer_key(nonce)), seconds=_ANSWERED_S + EXCHANGE_S)
        finally:
            await closed(client)
        if answer:
            raise LinkFailed(Reason(answer) if answer in list(Reason) else Reason.REFUSED)


async def ask_master(target: Target, code: str) -> MasterInfo:
    """Return who leads the cluster at an address. Raises LinkFailed: nobody of this cluster does."""
    derived, tls = await _prepare(code)
    client = over_tls(target, tls, user=access.JOIN, password=derived.join_password)
    try:
        return await bounded(_master_of(client), seconds=CONNECT_S + EXCHANGE_S)
    finally:
        await closed(client)


async def _prepare(code: str) -> tuple[keys.ClusterKeys, ssl.SSLContext]:
    """Do the slow arithmetic beside the event loop."""
    derived = await asyncio.to_thread(keys.derive, code)
    return derived, await asyncio.to_thread(certificates.member_context, derived)


async def _master_of(client: Redis) -> MasterInfo:
    message = as_bytes(await client.get(access.MASTER_KEY))
    if message is None:
        raise LinkFailed(Reason.NO_LEADER)
    try:
        return MasterInfo.decode(message)
    except RegistrationIsMalformed as problem:
        raise LinkFailed(Reason.NOT_A_MASTER, str(problem)) from problem


async def _answer(client: Redis, key: str) -> str:
    deadline_s = asyncio.get_running_loop().time() + _ANSWERED_S
    while asyncio.get_running_loop().time() < deadline_s:
        await asyncio.sleep(_LOOK_S)
        answer = as_bytes(await client.get(key))
        if answer is not None:
            return "" if answer == access.ADMITTED else answer.decode(errors="replace")
    raise LinkFailed(Reason.NO_LEADER)
