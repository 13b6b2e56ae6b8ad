"""A small HTTP/1.1 server for the control API: requests with a JSON body, answers in JSON, connections kept alive.

It reads what a well-behaved HTTP client sends, and answers everything else with a reason: bodies need a
Content-Length, transfer codings are not taken.

On the loopback port any web page that is open in a browser of this computer could be the client: requests of foreign
pages and under foreign names are refused, and a browser has to say that it sends JSON, which a page may say of its own
site only. On the Unix socket there is no browser.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from hardware.simulator.actions import Answer
from station.domain.browser_requests import foreign_page, is_of_browser

MAXIMUM_HEAD_BYTES = 16 * 1024
MAXIMUM_BODY_BYTES = 64 * 1024
# A connection without a request for this long is closed; a request once begun must be complete in the second time.
IDLE_S = 300.0
REQUEST_S = 10.0
# Headers whose second one could say the opposite of the first.
ONCE = frozenset({"host", "origin", "content-length", "content-type", "sec-fetch-site", "sec-fetch-mode"})
JSON_TYPE = "application/json"

Handler = Callable[[str, str, Any], Answer]


class RequestRefused(Exception):
    """The request is answered with this status, and the connection closed where its end is not known."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Head:
    """Request line and the headers that matter."""

    method: str
    path: str
    content_length: int
    keep_alive: bool
    expects_continue: bool
    headers: Mapping[str, str]


def parse_head(raw: bytes) -> Head:
    """Read the head of a request; raises RequestRefused."""
    try:
        request_line, *header_lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, version = request_line.split(" ")
    except ValueError as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, "this is no HTTP request") from error
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise RequestRefused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.1 is spoken here")
    headers: dict[str, str] = {}
    for line in header_lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise RequestRefused(HTTPStatus.BAD_REQUEST, f"broken header line {line[:60]!r}")
        if name.lower() in ONCE and name.lower() in headers:
            raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the header {name} comes twice")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise RequestRefused(HTTPStatus.LENGTH_REQUIRED, "send the body with a Content-Length")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"Content-Length {length[:20]!r} is no number")
    if int(length) > MAXIMUM_BODY_BYTES:
        reason = f"a body has at most {MAXIMUM_BODY_BYTES} bytes"
        raise RequestRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
    connection = headers.get("connection", "").lower()
    return Head(
        method=method,
        path=target.partition("?")[0],
        content_length=int(length),
        keep_alive="close" not in connection and (version == "HTTP/1.1" or "keep-alive" in connection),
        expects_continue=headers.get("expect", "").lower() == "100-continue",
        headers=headers,
    )


def check_client(head: Head) -> None:
    """Refuse what a web page of somebody else may have sent; raises RequestRefused."""
    reason = foreign_page(head.headers)
    if reason is not None:
        raise RequestRefused(HTTPStatus.FORBIDDEN, reason)
    if head.method == "GET" or not is_of_browser(head.headers):
        return
    if head.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
        reason = f"a browser sends its request with Content-Type: {JSON_TYPE}"
        raise RequestRefused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, reason)


def encode_answer(answer: Answer, *, keep_alive: bool) -> bytes:
    """Write an answer with its headers."""
    body = json.dumps(answer.body).encode()
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if answer.allow is not None:
        lines.append(f"Allow: {answer.allow}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


class HttpServer:
    """Serves connections with one handler, which answers at once."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections: set[asyncio.Task[None]] = set()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends; the callback for asyncio's stream servers."""
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass  # The client went away or does not read any more.
        except asyncio.CancelledError:
            pass  # The server stops; ending quietly here keeps asyncio from reporting it as a failure.
        finally:
            if task is not None:
                self._connections.discard(task)
            writer.close()

    async def end_connections(self) -> None:
        """End the connections that are still open."""
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; return whether the connection goes on."""
        keep_alive = False
        try:
            async with asyncio.timeout(IDLE_S):
                raw = await reader.readuntil(b"\r\n\r\n")
            # Some clients end a body with a line break that does not count (RFC 9112, section 2.2).
            head = parse_head(raw.lstrip(b"\r\n"))
            if not _is_unix(writer):
                check_client(head)
            if head.expects_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            async with asyncio.timeout(REQUEST_S):
                raw_body = await reader.readexactly(head.content_length)
            keep_alive = head.keep_alive
            answer = self._handler(head.method, head.path, _fields(raw_body))
        except RequestRefused as refusal:
            answer = Answer(status=refusal.status, body={"error": str(refusal)})
        except asyncio.LimitOverrunError:
            reason = f"a request head has at most {MAXIMUM_HEAD_BYTES} bytes"
            answer = Answer(status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, body={"error": reason})
        writer.write(encode_answer(answer, keep_alive=keep_alive))
        async with asyncio.timeout(REQUEST_S):
            await writer.drain()
        return keep_alive


def _is_unix(writer: asyncio.StreamWriter) -> bool:
    return bool(writer.get_extra_info("socket").family == socket.AF_UNIX)


def _fields(raw: bytes) -> Any:
    if not raw.strip():
        return {}
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RequestRefused(HTTPStatus.BAD_REQUEST, f"the body is no JSON: {error}") from error
