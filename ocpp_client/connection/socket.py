"""One WebSocket to the backend: opening it, and noticing that it is dead."""

import asyncio
import logging
import ssl
from ipaddress import ip_address
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI, NegotiationError
from websockets.typing import Subprotocol

from ocpp_client.connection.attempt import Attempt
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.database import in_database
from station.concurrency import wait_or_timeout
from station.domain.backend_ladder import Step
from station.domain.link_security import LinkSecurity
from station.services import configuration

logger = logging.getLogger(__name__)

SUBPROTOCOL = Subprotocol("ocpp1.6")
# A SendLocalList of 1000 cards takes 150 kB; beyond this the connection ends with 1009.
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
# Read ahead of whoever takes them: each may be that large. What comes after them stays on the wire.
MOST_FRAMES_WAITING = 2
OPEN_TIMEOUT_S = 30.0
CLOSE_TIMEOUT_S = 2.0
PONG_TIMEOUT_S = 20.0
# What opening a connection raises when the network or the backend does not let the station in.
OPENING_FAILURES = (OSError, InvalidHandshake, InvalidURI, EOFError, ValueError)


class _Connect(connect):
    """A connection that follows no redirect: it would carry the station's password to another host."""

    def __init__(self, attempt: Attempt, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._attempt = attempt

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc

    async def open_tcp_connection(self) -> ClientConnection:
        """Go step by step, each of which is measured."""
        self.create_connection_kwargs["sock"] = await self._attempt.open_tcp()
        self._attempt.begin(Step.TLS)
        connection = await super().open_tcp_connection()
        self._attempt.note_tls(connection.transport.get_extra_info("ssl_object"))
        self._attempt.begin(Step.WEBSOCKET)
        return connection


async def open_proven_first(
    target: Endpoint,
    trusted: ssl.SSLContext | None,
    accepted: ssl.SSLContext | None,
    attempt: Attempt,
    *,
    open_timeout_s: float = OPEN_TIMEOUT_S,
) -> tuple[ClientConnection, LinkSecurity]:
    """Open the WebSocket with the certificates that prove something, only then with all that are accepted.

    What the steps show is noted in `attempt`.
    """
    try:
        try:
            socket = await open_socket(target, trusted, attempt, open_timeout_s=open_timeout_s)
            root_trusted = trusted is not None
        except ssl.SSLCertVerificationError:
            if accepted is None:
                raise
            socket = await open_socket(target, accepted, attempt, open_timeout_s=open_timeout_s)
            root_trusted = False
    except OPENING_FAILURES as error:
        attempt.failed(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            await attempt.peek()
        raise
    link = security_of(socket, root_trusted=root_trusted)
    attempt.opened(subprotocol=socket.subprotocol or "", link=link.kind.value)
    return socket, link


def security_of(socket: ClientConnection, *, root_trusted: bool) -> LinkSecurity:
    """Tell what is known of a connection from the connection itself."""
    tls = socket.transport.get_extra_info("ssl_object")
    context = tls.context if tls is not None else None
    return LinkSecurity(
        encrypted=tls is not None,
        certificate_checked=context is not None and context.verify_mode is ssl.CERT_REQUIRED,
        name_checked=context is not None and context.check_hostname,
        root_trusted=context is not None and root_trusted,
        internal=_is_loopback(socket.transport.get_extra_info("peername")),
    )


def _is_loopback(peer: object) -> bool:
    """Whether an address does not leave the computer; peers over IPv6 may have an IPv4 address (::ffff:127.0.0.1)."""
    try:
        address = ip_address(str(peer[0]).partition("%")[0])  # type: ignore[index]
    except (TypeError, IndexError, KeyError, ValueError):
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def closing_words(socket: ClientConnection) -> str:
    """Return what the backend has said when it closed the connection: the code and the reason of its close frame."""
    code, reason = getattr(socket, "close_code", None), getattr(socket, "close_reason", None)
    return f"{code} {reason or ''}".strip() if code else ""


async def open_socket(
    target: Endpoint, context: ssl.SSLContext | None, attempt: Attempt, *, open_timeout_s: float
) -> ClientConnection:
    """Open the WebSocket; raises what `failures.classify` understands."""
    socket = await _Connect(
        attempt,
        target.url,
        subprotocols=[SUBPROTOCOL],
        additional_headers=target.headers(),
        user_agent_header="station",
        ssl=context,
        compression=None,
        proxy=None,
        open_timeout=open_timeout_s,
        close_timeout=CLOSE_TIMEOUT_S,
        ping_interval=None,
        max_size=MAX_MESSAGE_BYTES,
        max_queue=MOST_FRAMES_WAITING,
    )
    if socket.subprotocol != SUBPROTOCOL:
        await socket.close(1002)
        raise NegotiationError("the backend speaks no ocpp1.6")
    return socket


async def keep_alive(
    socket: ClientConnection, changed: asyncio.Event, *, pong_timeout_s: float = PONG_TIMEOUT_S
) -> None:
    """Ping every WebSocketPingInterval seconds (0: never); returns when a pong is missing, the connection aborted.

    `changed` says that the interval may be another one.
    """
    while True:
        changed.clear()
        interval_s = await in_database(configuration.get_int, "WebSocketPingInterval")
        if await wait_or_timeout(changed, interval_s or None):
            continue
        try:
            pong = await socket.ping()
            async with asyncio.timeout(pong_timeout_s):
                await pong
        except TimeoutError:
            socket.transport.abort()
            return
        except ConnectionClosed:
            return
