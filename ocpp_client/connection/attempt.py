"""What is measured of one attempt to connect, while it goes on."""

import asyncio
import socket
import ssl
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.x509.oid import NameOID
from websockets.exceptions import InvalidStatus

from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.failures import Failure, classify, refine
from station import clock
from station.domain.backend_ladder import Observation, ServerCertificate, Step
from station.host.logs import mask_secrets

_MOST_DETAIL = 200
_TLS_PORT, _PLAIN_PORT = 443, 80
_SWITCHING_PROTOCOLS = 101
# One address of several that swallows packets (IPv6 without a route is the usual one) leaves time for the others.
_ONE_OF_SEVERAL_S = 8.0
_PEEK_S = 5.0
_MEASURED = {Step.NAME: "name_ms", Step.TCP: "tcp_ms", Step.TLS: "tls_ms", Step.WEBSOCKET: "websocket_ms"}
_BEFORE_BOOT = frozenset({Failure.CLOSED, Failure.CONNECTION_LOST})
# The alerts of a server that wants another certificate of the station come when the first answer is read.
_ALERTS = frozenset({"own_certificate_wanted", "own_certificate_refused"})


class Attempt:
    """Collects what the steps of an attempt show; `seen` is what is known so far.

    `stops_early`: it goes no further than TLS.
    """

    def __init__(self, target: Endpoint, *, stops_early: bool = False) -> None:
        self.seen = Observation(
            at=clock.now(),
            url=mask_secrets(target.base_url),
            host=target.host,
            uses_tls=target.uses_tls,
            shows_key="Authorization" in target.headers(),
            shows_certificate=target.shows_certificate,
            stopped_early=stops_early,
        )
        self._began_s = clock.monotonic_s()
        self._peer: tuple[socket.AddressFamily, Any] | None = None
        try:
            port = urlsplit(target.url).port
        except ValueError:
            # Opening the connection says what is wrong with it.
            return
        self._note(port=port or (_TLS_PORT if target.uses_tls else _PLAIN_PORT))

    def begin(self, step: Step) -> None:
        """Go on to the next step."""
        self._measure()
        self._began_s = clock.monotonic_s()
        self._note(step=step)

    def note_tls(self, tls: ssl.SSLObject | None) -> None:
        """Take note of what the handshake has agreed on, and with whom."""
        if tls is None:
            return
        cipher, certificate = tls.cipher(), tls.getpeercert(binary_form=True)
        self._note(
            tls_version=tls.version() or "",
            tls_cipher=cipher[0] if cipher else "",
            certificate=_certificate(certificate) if certificate else None,
        )

    def opened(self, *, subprotocol: str, link: str) -> None:
        """Note that the WebSocket stands: what comes next is BootNotification."""
        self._measure()
        self._note(step=Step.BOOT, is_over=True, subprotocol=subprotocol, link=link, http_status=_SWITCHING_PROTOCOLS)

    def stopped(self) -> None:
        """Note that the attempt went as far as it was to go."""
        self._measure()
        self._note(step=Step.TLS, is_over=True)

    def failed(self, error: BaseException) -> None:
        """Note why the step failed."""
        self._measure()
        failure = classify(error)
        cause = refine(failure, error, self.seen.step)
        if failure is Failure.ADDRESS_INVALID:
            self._note(step=Step.ADDRESS)
        elif cause in _ALERTS:
            self._note(step=Step.TLS)
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        if failure is Failure.SUBPROTOCOL_REFUSED:
            status = _SWITCHING_PROTOCOLS
        self._note(failure=cause, detail=_detail(error), http_status=status, is_over=True)

    def ended(self, failure: Failure, *, registered: bool, detail: str = "") -> None:
        """Note why a connection that stood has ended; `registered`: the backend had accepted the station on it."""
        cause = "closed_before_boot" if not registered and failure in _BEFORE_BOOT else failure.value
        self._note(
            step=Step.HEARTBEAT if registered else Step.BOOT, failure=cause, detail=mask_secrets(detail)[:_MOST_DETAIL]
        )

    async def resolve(self) -> list[tuple[socket.AddressFamily, Any]]:
        """Find the addresses of the server."""
        self.begin(Step.NAME)
        found = await asyncio.get_running_loop().getaddrinfo(self.seen.host, self.seen.port, type=socket.SOCK_STREAM)
        targets: list[tuple[socket.AddressFamily, Any]] = list(dict.fromkeys((entry[0], entry[4]) for entry in found))
        self._note(addresses=tuple(str(address[0]) for _, address in targets))
        return targets

    async def open_tcp(self) -> socket.socket:
        """Find the addresses of the server and connect to the first that answers."""
        targets = await self.resolve()
        self.begin(Step.TCP)
        for place, target in enumerate(targets, start=1):
            is_last = place == len(targets)
            try:
                async with asyncio.timeout(None if is_last else _ONE_OF_SEVERAL_S):
                    opened = await _connect(target)
            except OSError:
                if is_last:
                    raise
                continue
            self._peer = target
            self._note(peer=str(target[1][0]))
            return opened
        raise socket.gaierror(socket.EAI_NONAME, "the name has no address")

    async def peek(self) -> None:
        """Ask a server whose certificate was refused for it once more, to show whose it is. Nothing is sent to it."""
        if self._peer is None:
            return
        curious = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        curious.check_hostname, curious.verify_mode = False, ssl.CERT_NONE
        try:
            async with asyncio.timeout(_PEEK_S):
                opened = await _connect(self._peer)
                _, writer = await asyncio.open_connection(sock=opened, ssl=curious, server_hostname=self.seen.host)
        except (OSError, ValueError):
            return
        self.note_tls(writer.get_extra_info("ssl_object"))
        writer.transport.abort()

    def _measure(self) -> None:
        if field := _MEASURED.get(self.seen.step):
            self._note(**{field: round((clock.monotonic_s() - self._began_s) * 1000)})

    def _note(self, **measured: Any) -> None:
        self.seen = replace(self.seen, **measured)


async def look_at_way(attempt: Attempt, context: ssl.SSLContext | None, *, timeout_s: float) -> None:
    """Climb from the name to TLS and let go: a second WebSocket would displace the one that stands."""
    try:
        async with asyncio.timeout(timeout_s):
            opened = await attempt.open_tcp()
            attempt.begin(Step.TLS)
            with opened:
                if context is not None:
                    _, writer = await asyncio.open_connection(
                        sock=opened, ssl=context, server_hostname=attempt.seen.host
                    )
                    attempt.note_tls(writer.get_extra_info("ssl_object"))
                    writer.transport.abort()
    except (OSError, ValueError) as error:
        attempt.failed(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            await attempt.peek()
    else:
        attempt.stopped()


async def _connect(target: tuple[socket.AddressFamily, Any]) -> socket.socket:
    family, address = target
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        # A message must not wait for the acknowledgement of the one before it, which the other side may hold back for
        # 40 ms. asyncio sets this for sockets it opens itself.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:
        opened.close()
        raise
    return opened


def _detail(error: BaseException) -> str:
    return mask_secrets(str(error) or type(error).__name__)[:_MOST_DETAIL]


def _certificate(der: bytes) -> ServerCertificate | None:
    try:
        read = x509.load_der_x509_certificate(der)
        return ServerCertificate(
            subject=_name(read.subject),
            issuer=_name(read.issuer),
            not_before=read.not_valid_before_utc,
            not_after=read.not_valid_after_utc,
        )
    except ValueError:
        return None


def _name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return (str(found[0].value) if found else name.rfc4514_string())[:100]
