"""Connections to a master's server: bounded in time and size, and every failure as a reason."""

import asyncio
import ssl
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from redis._parsers import _AsyncRESP2Parser
from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import TimeoutError as NoAnswer
from typing_extensions import override

from loadmgmt.cluster.access import MAX_REPLY_BYTES
from loadmgmt.cluster.address import Target
from loadmgmt.cluster.failures import LinkFailed, Reason

CONNECT_S = 3.0
EXCHANGE_S = 3.0
_CLOSE_S = 0.5
# One that listens, and others for questions that meet.
_CONNECTIONS = 4


_Result = TypeVar("_Result")


class _Parser(_AsyncRESP2Parser):
    """Does not wait for gigabytes that somebody announces."""

    @override
    async def _read(self, length: int) -> bytes:
        if not 0 <= length <= MAX_REPLY_BYTES:
            raise InvalidResponse(f"a reply of {length} bytes")
        return await super()._read(length)


class _TlsConnection(SSLConnection):
    """Uses a context that is there already, which trusts the cluster's authority and no other."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(**options)
        self.ssl_context.context = tls


def over_tls(target: Target, tls: ssl.SSLContext, *, user: str, password: str) -> Redis:
    """Return a client of a master's server; its owner closes it."""
    return _client(_TlsConnection, host=target.host, port=target.port, tls=tls, username=user, password=password)


def over_socket(path: str, *, user: str, password: str) -> Redis:
    """Return the master's own client of its server; its owner closes it."""
    return _client(UnixDomainSocketConnection, path=path, username=user, password=password)


def _client(connection_class: type[Connection] | type[UnixDomainSocketConnection], **options: Any) -> Redis:
    pool = ConnectionPool(
        connection_class=connection_class,
        max_connections=_CONNECTIONS,
        socket_connect_timeout=CONNECT_S,
        # `bounded` ends every wait. The library limits sending with `asyncio.wait_for`, which in Python 3.11 loses a
        # cancellation that meets its end (CPython issue 86296): whoever stops a loop would wait for ever.
        socket_timeout=None,
        # Whoever asks again decides so, with a new connection.
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        parser_class=_Parser,
        driver_info=None,
        **options,
    )
    return Redis.from_pool(pool)


@dataclass(frozen=True)
class Session:
    """A client with the channels it listens to."""

    client: Redis
    messages: PubSub

    async def next_message(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return channel and content of the next message; None when there is none in time. Raises LinkFailed."""
        with failures():
            found: dict[str, Any] | None = await self.messages.get_message(
                ignore_subscribe_messages=True, timeout=timeout_s
            )
        return None if found is None else (found["channel"].decode(), found["data"])

    async def close(self) -> None:
        """End both connections, without waiting long for a good-bye of the other side."""
        # It waits for nobody.
        await self.messages.aclose()  # type: ignore[no-untyped-call]
        await closed(self.client)


async def open_session(client: Redis, *channels: str) -> Session:
    """Connect and listen to channels; the client is closed when that fails. Raises LinkFailed."""
    session = Session(client, client.pubsub(ignore_subscribe_messages=True))
    try:
        await bounded(session.messages.subscribe(*channels), seconds=CONNECT_S + EXCHANGE_S)
    except BaseException:
        await session.close()
        raise
    return session


async def closed(client: Redis) -> None:
    """End a client's connections, without waiting long for a good-bye of the other side."""
    with suppress(LinkFailed):
        await bounded(client.aclose(), seconds=_CLOSE_S)


async def bounded(work: Awaitable[_Result], *, seconds: float = EXCHANGE_S) -> _Result:
    """Wait for the other side no longer than that. Raises LinkFailed."""
    try:
        async with asyncio.timeout(seconds):
            with failures():
                return await work
    except TimeoutError as silence:
        raise LinkFailed(Reason.SILENT) from silence


def as_bytes(value: object) -> bytes | None:
    """Return what a key holds; None where there is none."""
    return value if isinstance(value, bytes) else None


@contextmanager
def failures() -> Iterator[None]:
    """Let whatever goes wrong with the other side leave as `LinkFailed`."""
    try:
        yield
    except (RedisError, OSError, asyncio.IncompleteReadError) as error:
        raise LinkFailed(reason_of(error), str(error)) from error


def reason_of(error: BaseException) -> Reason:
    """Return what a failure means."""
    chain = list(_chain(error))
    if any(isinstance(each, ssl.SSLCertVerificationError) for each in chain):
        return Reason.WRONG_KEY
    tls = next((each for each in chain if isinstance(each, ssl.SSLError)), None)
    if tls is not None:
        # "Alert": the other side has looked at our certificate and refuses it.
        return Reason.WRONG_KEY if "ALERT" in str(tls.reason or "").upper() else Reason.NOT_A_MASTER
    if isinstance(error, AuthenticationError):
        return Reason.WRONG_KEY
    if isinstance(error, InvalidResponse):
        return Reason.NOT_A_MASTER
    if isinstance(error, ResponseError):
        return Reason.REFUSED
    if isinstance(error, NoAnswer | TimeoutError):
        return Reason.UNREACHABLE if "connecting" in str(error) else Reason.SILENT
    return Reason.UNREACHABLE if isinstance(error, ConnectionLost | OSError) else Reason.NOT_A_MASTER


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    # Bounded: libraries have made rings of causes.
    for _ in range(10):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__
