"""HTTP and HTTPS: GET for a download; PUT, or a form where the server does not take it, for an upload."""

import base64
import os
import ssl
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import BinaryIO
from urllib.parse import quote, urljoin

from typing_extensions import override

from station.services.transfers.errors import (
    ConnectionBroken,
    IdentityRefused,
    LocationRefused,
    LoginRefused,
    ServerRefused,
)
from station.services.transfers.exchange import BLOCK_BYTES, Exchange, Intake
from station.services.transfers.location import Location

MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_LOGIN = (401, 403, 407)
_NO_PUT = (404, 405, 501)
_GOOD = range(200, 300)


class _Plain(HTTPConnection):
    """Dials an address that was checked before."""

    def __init__(self, location: Location, exchange: Exchange) -> None:
        self._exchange = exchange
        super().__init__(location.host, location.port, timeout=exchange.timeout_s)

    @override
    def connect(self) -> None:
        self.sock = self._exchange.dial(self.host, self.port)


class _Secure(HTTPSConnection):
    """The same over TLS."""

    def __init__(self, location: Location, exchange: Exchange) -> None:
        self._exchange = exchange
        self._tls = exchange.tls()
        super().__init__(location.host, location.port, timeout=exchange.timeout_s, context=self._tls)

    @override
    def connect(self) -> None:
        self.sock = self._tls.wrap_socket(self._exchange.dial(self.host, self.port), server_hostname=self.host)


@contextmanager
def _connected(location: Location, exchange: Exchange) -> Iterator[HTTPConnection]:
    connection = _Secure(location, exchange) if location.scheme == "https" else _Plain(location, exchange)
    try:
        yield connection
    except ssl.SSLCertVerificationError as error:
        raise IdentityRefused(f"{location}: {error.verify_message}") from error
    except (OSError, HTTPException) as error:
        raise ConnectionBroken(f"{location}: {error or type(error).__name__}") from error
    finally:
        connection.close()


def _headers(location: Location) -> dict[str, str]:
    headers = {"User-Agent": "station", "Accept-Encoding": "identity"}
    if location.user or location.password:
        login = base64.b64encode(f"{location.user}:{location.password}".encode()).decode()
        headers["Authorization"] = f"Basic {login}"
    return headers


def _refuse(location: Location, answer: HTTPResponse) -> None:
    if answer.status in _LOGIN:
        raise LoginRefused(f"{location}: answer {answer.status}")
    if answer.status not in _GOOD:
        raise ServerRefused(f"{location}: answer {answer.status}")


def _redirected(location: Location, answer: HTTPResponse) -> Location:
    """Return where a redirect leads: only within the same protocol, and with the password only on the same server."""
    there = answer.getheader("Location") or ""
    here = f"{location.scheme}://{location.host if ':' not in location.host else f'[{location.host}]'}:{location.port}"
    fresh = Location.read(urljoin(here + location.target, there))
    if fresh.scheme != location.scheme:
        raise LocationRefused(f"{location}: a redirect to another protocol")
    if (fresh.host, fresh.port) == (location.host, location.port) and not fresh.user:
        return replace(fresh, user=location.user, password=location.password)
    return fresh


def download(location: Location, target: BinaryIO, exchange: Exchange) -> None:
    """Download a file, following redirects."""
    for _ in range(MOST_REDIRECTS + 1):
        with _connected(location, exchange) as connection:
            connection.request("GET", location.target, headers=_headers(location))
            answer = connection.getresponse()
            if answer.status in _REDIRECTS:
                location = _redirected(location, answer)
                continue
            _refuse(location, answer)
            intake = Intake(target, exchange)
            size = answer.length
            intake.announce(size)
            while block := answer.read1(BLOCK_BYTES):
                intake.write(block)
            # http.client takes the end of the line for the end of the file (read1 raises nothing).
            if size is not None and intake.size != size:
                raise ConnectionBroken(f"{location}: {intake.size} of {size} bytes arrived")
            return
    raise ServerRefused(f"{location}: too many redirects")


@dataclass(frozen=True, kw_only=True)
class _Body:
    """What is sent: a file, with something before and after it in a form."""

    source: BinaryIO
    kind: str = "application/gzip"
    head: bytes = b""
    tail: bytes = b""

    def size(self) -> int:
        return len(self.head) + self.source.seek(0, os.SEEK_END) + len(self.tail)

    def blocks(self, exchange: Exchange) -> Iterator[bytes]:
        self.source.seek(0)
        if self.head:
            yield self.head
        yield from exchange.blocks(self.source)
        if self.tail:
            yield self.tail


def _form(source: BinaryIO, name: str) -> _Body:
    border = uuid.uuid4().hex
    disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
    return _Body(
        source=source,
        kind=f"multipart/form-data; boundary={border}",
        head=f"--{border}\r\n{disposition}\r\nContent-Type: application/gzip\r\n\r\n".encode(),
        tail=f"\r\n--{border}--\r\n".encode(),
    )


def upload(location: Location, source: BinaryIO, name: str, exchange: Exchange) -> None:
    """Bring a file: into the directory the location names, or exactly there when it is complete (a query)."""
    there = location.target if location.has_query else f"{location.target.rstrip('/')}/{quote(name)}"
    status = _send("PUT", replace(location, target=there), _Body(source=source), exchange)
    if status in _NO_PUT and not location.has_query:
        status = _send("POST", location, _form(source, name), exchange)
    if status in _NO_PUT:
        raise ServerRefused(f"{location}: answer {status}")


def _send(verb: str, location: Location, body: _Body, exchange: Exchange) -> int:
    for _ in range(MOST_REDIRECTS + 1):
        with _connected(location, exchange) as connection:
            headers = _headers(location) | {"Content-Type": body.kind, "Content-Length": str(body.size())}
            # A server that refuses may answer and stop reading before it has received everything.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request(verb, location.target, body=body.blocks(exchange), headers=headers)
            answer = connection.getresponse()
            if answer.status in _REDIRECTS:
                location = _redirected(location, answer)
                continue
            answer.read(BLOCK_BYTES)
            if answer.status not in _NO_PUT:
                _refuse(location, answer)
            return answer.status
    raise ServerRefused(f"{location}: too many redirects")
