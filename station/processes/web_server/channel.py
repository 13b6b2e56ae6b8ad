"""One HTTP connection with limits: Twisted's channel and Daphne's request, which read without any.

The limits hold while a request arrives, before anything is passed on. A refused request gets an answer with a reason;
what it still sends is read and thrown away for a moment, since closing at once would destroy the answer on its way.
"""

import io
from collections.abc import Hashable
from typing import IO, TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from daphne.http_protocol import WebRequest
from twisted.internet.protocol import connectionDone
from twisted.web import http

from station.processes.web_server import refusals, spool
from station.processes.web_server.crowd import Crowd
from station.processes.web_server.refusals import Refusal

if TYPE_CHECKING:
    from twisted.internet.base import DelayedCall
    from twisted.internet.defer import Deferred

# reference/security.md, section 2.3.
LONGEST_ADDRESS = 2048
LARGEST_HEAD = 8192
MOST_HEADERS = 64
LARGEST_BODY = 64 * 1024
# From the first byte to the last, a large body at this rate besides; and how long a connection may be open and silent.
REQUEST_S = 15.0
SLOWEST_BYTES_PER_S = 32 * 1024
SILENT_S = 30.0
# How long the rest of a refused request is thrown away.
LINGER_S = 5.0
ABORT_S = 2
# The longest whole number that is a length at all.
_LONGEST_NUMBER = 12


class Bodies(Protocol):
    """Who may send more than a small form."""

    def largest(self, path: str) -> int:
        """Return how many bytes an address takes."""

    def may_send(self, path: str, method: str, cookies: str) -> "Deferred[bool]":
        """Return whether the sender may use the address."""


class LimitedRequest(WebRequest):
    """A request with a small body in memory, or a large one in a file."""

    spool: IO[bytes] | None = None

    def __init__(self, channel: "LimitedChannel", queued: object) -> None:
        # Twisted would read a form into memory once more, for arguments nobody asks for.
        super().__init__(channel, queued, parsePOSTFormSubmission=False)
        self._received = 0

    def gotLength(self, length: int | None) -> None:
        """Prepare for the body; what is large has been permitted by the channel."""
        self.content = io.BytesIO()
        if length is not None and length > LARGEST_BODY:
            self.spool = spool.open_spool()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body; one that comes in chunks says how long it is only now."""
        self._received += len(data)
        if self.spool is not None:
            try:
                self.spool.write(data)
            except OSError:
                self.channel.refuse(refusals.NO_ROOM)
        elif self._received > LARGEST_BODY:
            self.channel.refuse(refusals.TOO_LARGE)
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Pass the request on."""
        if self.spool is not None:
            self.spool.seek(0)
        super().requestReceived(command, path, version)

    def finish(self) -> None:
        """End the answer, and with it the file."""
        self._close_spool()
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        """Give the request up."""
        self._close_spool()
        super().connectionLost(reason)

    def _close_spool(self) -> None:
        if self.spool is not None:
            self.spool.close()


class LimitedChannel(http.HTTPChannel):
    """A connection that brings its requests in time, and not too large."""

    # Ours are stricter, and answer with a reason.
    MAX_LENGTH = LARGEST_HEAD
    totalHeadersSize = 2 * LARGEST_HEAD
    abortTimeout = ABORT_S
    transport: Any
    _path: Any
    _networkProducer: Any

    def __init__(self, crowd: Crowd, bodies: Bodies) -> None:
        super().__init__()
        self._crowd = crowd
        self._bodies = bodies
        self._head_lines = self._head_bytes = 0
        self._refused = self._has_asked = self._lost = False
        self._deadline: DelayedCall | None = None
        self._key: Hashable = None

    def is_waiting(self) -> bool:
        """Return whether no answer and no socket is under way."""
        return not self._handlingRequest

    def has_asked(self) -> bool:
        """Return whether a complete request has come before."""
        return self._has_asked

    def drop(self) -> None:
        """End the connection at once."""
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        """Count the connection in, and expect a request soon."""
        super().connectionMade()
        self._key = key_of(self.transport)
        if self._crowd.enter(self._key, self, address=str(getattr(self.transport.getPeer(), "host", ""))):
            self._expect_request()
        else:
            self.refuse(refusals.TOO_MANY_CONNECTIONS)

    def connectionLost(self, reason: Any = connectionDone) -> None:
        """Count the connection out."""
        self._lost = True
        self._crowd.leave(self._key)
        self._end_deadline()
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Take what arrives, unless it belongs to a request that is refused already."""
        if self._refused:
            return
        if not self._handlingRequest:
            self._expect_request()
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head."""
        if self._refused:
            return
        if self._head_lines == 0 and line:
            target = line.split(b" ")[1:2]
            if target and len(target[0]) > LONGEST_ADDRESS:
                self.refuse(refusals.TOO_LONG_ADDRESS)
                return
        self._head_lines += bool(line)
        self._head_bytes += len(line) + 2
        if self._head_bytes > LARGEST_HEAD or self._head_lines > MOST_HEADERS + 1:
            self.refuse(refusals.TOO_MANY_HEADERS)
            return
        super().lineReceived(line)

    def lineLengthExceeded(self, _line: bytes) -> None:
        """Refuse a line that is longer than any may be."""
        self.refuse(refusals.TOO_MANY_HEADERS if self._head_lines else refusals.TOO_LONG_ADDRESS)

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; Python reads no number of thousands of digits, and Twisted would not catch that."""
        name, _colon, value = line.partition(b":")
        if name.lower() == b"content-length" and len(value.strip()) > _LONGEST_NUMBER:
            self.refuse(refusals.TOO_LARGE)
            return False
        return bool(super().headerReceived(line)) and not self._refused

    def allHeadersReceived(self) -> None:
        """Look at the length, and at the sender of much, before the body is asked for."""
        if self.length is None or self.length <= LARGEST_BODY:
            super().allHeadersReceived()
            return
        path = unquote(self._path.partition(b"?")[0].decode("latin-1"))
        if self.length > self._bodies.largest(path):
            self.refuse(refusals.TOO_LARGE)
            return
        self.paused = True
        self._networkProducer.pauseProducing()
        cookies = b"; ".join(self.requests[-1].requestHeaders.getRawHeaders(b"cookie", [])).decode("latin-1")
        permission = self._bodies.may_send(path, self._command.decode("latin-1"), cookies)
        permission.addCallbacks(self._take_large_body, lambda _failure: self._take_large_body(permitted=False))

    def _take_large_body(self, permitted: bool) -> None:  # noqa: FBT001 - a callback's result
        if self._refused or self._lost:
            return
        if permitted and not spool.has_room(self.length or 0):
            self.refuse(refusals.NO_ROOM)
        elif permitted:
            super().allHeadersReceived()
            self._end_deadline()
            self._deadline = self.callLater(REQUEST_S + (self.length or 0) / SLOWEST_BYTES_PER_S, self._be_too_late)
        else:
            self.refuse(refusals.NOT_SIGNED_IN)
        self.paused = False
        self._networkProducer.resumeProducing()
        super().dataReceived(b"")

    def rawDataReceived(self, data: bytes) -> None:
        """Take a part of the body."""
        if not self._refused:
            super().rawDataReceived(data)

    def allContentReceived(self) -> None:
        """Pass the request on."""
        if self._refused:
            return
        self._end_deadline()
        self._has_asked = True
        self._head_lines = self._head_bytes = 0
        super().allContentReceived()

    def requestDone(self, request: http.Request) -> None:
        """Go on with the next request, whose beginning may be here already."""
        if self._dataBuffer:
            self._expect_request()
        super().requestDone(request)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a reason and end the connection."""
        if self._refused:
            return
        self._refused = True
        self._end_deadline()
        self.transport.write(refusals.encode(refusal))
        self._deadline = self.callLater(LINGER_S, self.timeoutConnection)

    def timeoutConnection(self) -> None:
        """End a silent connection, by force if the other side does not read."""
        self._end_deadline()
        super().timeoutConnection()

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(refusals.NOT_HTTP)

    def _expect_request(self) -> None:
        if self._deadline is None:
            self._deadline = self.callLater(REQUEST_S, self._be_too_late)

    def _be_too_late(self) -> None:
        self._deadline = None
        if self._head_lines or self.requests:
            self.refuse(refusals.TOO_SLOW)
        else:
            self.timeoutConnection()

    def _end_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None


def key_of(transport: Any) -> Hashable:
    """Return what tells an open connection from all others; a closed one does not know any more."""
    peer, host = transport.getPeer(), transport.getHost()
    return tuple(getattr(end, name, None) for end in (peer, host) for name in ("host", "port"))
