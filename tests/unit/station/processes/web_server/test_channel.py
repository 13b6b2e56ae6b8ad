"""One connection in virtual time: what is refused, when, and what is passed on."""

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from station.paths import DataDirectory
from station.processes.web_server import channel as module
from station.processes.web_server import spool
from station.processes.web_server.channel import LARGEST_BODY, REQUEST_S, SILENT_S, LimitedChannel, LimitedRequest
from station.processes.web_server.crowd import Crowd


class Server:
    """What a request needs of Daphne's server."""

    def __init__(self) -> None:
        self.connected: list[Any] = []

    def protocol_connected(self, request: Any) -> None:
        self.connected.append(request)

    def protocol_disconnected(self, request: Any) -> None:
        self.connected.remove(request)


class Factory:
    def __init__(self) -> None:
        self.server = Server()


class Request(LimitedRequest):
    """Notes what would be passed on to the application."""

    def process(self) -> None:
        body = self.content if self.spool is None else self.spool
        self.channel.passed_on.append((self.method, self.uri, body.read()))


class Asked:
    """Takes a megabyte at one address, from whoever the test says."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.permission: Deferred[bool] = Deferred()

    def largest(self, path: str) -> int:
        return 1_000_000 if path == "/users/import" else LARGEST_BODY

    def may_send(self, path: str, method: str, cookies: str) -> Deferred[bool]:
        self.asked.append((path, method, cookies))
        return self.permission


class Bench:
    """A connection, its clock and what came back over it."""

    def __init__(self, crowd: Crowd | None = None) -> None:
        self.clock = Clock()
        self.bodies = Asked()
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", id(self)))
        channel: Any = LimitedChannel(Crowd() if crowd is None else crowd, self.bodies)
        self.channel = channel
        channel.passed_on = []
        channel.requestFactory = Request
        channel.callLater = self.clock.callLater
        channel.timeOut = SILENT_S
        channel.factory = Factory()
        self.transport.abortConnection = self._abort
        self.aborted = False
        self.channel.makeConnection(self.transport)

    def _abort(self) -> None:
        self.aborted = True

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    @property
    def status(self) -> int | None:
        answer = self.transport.value()
        return int(answer.split(b" ", 2)[1]) if answer else None

    @property
    def ends(self) -> bool:
        return self.transport.disconnecting or self.aborted


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_request_of_usual_size_is_passed_on(bench: Bench) -> None:
    bench.send(b"POST /login HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    bench.send(b"llo")

    assert bench.channel.passed_on == [(b"POST", b"/login", b"hello")]
    assert bench.status is None


@pytest.mark.parametrize("step_s", [0.5, 5.0, 14.0])
@pytest.mark.parametrize(
    "beginning", [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nContent-Length: 60000\r\n\r\n"]
)
def test_a_request_that_trickles_ends_at_the_deadline(bench: Bench, beginning: bytes, step_s: float) -> None:
    bench.send(beginning)
    passed_s = 0.0
    while passed_s < REQUEST_S:
        assert not bench.ends
        bench.clock.advance(step_s)
        passed_s += step_s
        bench.send(b"a")

    assert bench.status in {408, None}
    bench.clock.advance(module.LINGER_S)
    assert bench.ends


def test_silence_before_the_first_byte_ends_without_a_word(bench: Bench) -> None:
    bench.clock.advance(REQUEST_S)

    assert (bench.status, bench.ends) == (None, True)


def test_the_deadline_holds_for_each_request_of_a_connection(bench: Bench) -> None:
    bench.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\n")
    bench.clock.advance(10 * REQUEST_S)
    assert not bench.ends

    bench.channel.requestDone(bench.channel.requests[0])
    bench.clock.advance(REQUEST_S)

    assert bench.status == 408


def test_a_body_in_chunks_counts_as_well(bench: Bench) -> None:
    bench.send(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"4000\r\n" + bytes(0x4000) + b"\r\n"
    for _ in range(5):
        bench.send(chunk)
    bench.send(b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (bench.status, bench.channel.passed_on) == (413, [])
    assert bench.channel.requests[0].content.getbuffer().nbytes <= LARGEST_BODY


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /  HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_a_broken_or_ambiguous_request_is_refused_and_nothing_after_it_is_read(
    bench: Bench, request_head: bytes
) -> None:
    bench.send(request_head + b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")

    assert (bench.status, bench.channel.passed_on) == (400, [])
    assert b"The request is broken" in bench.transport.value()


def test_a_refused_request_is_read_no_further_and_ends_after_a_moment(bench: Bench) -> None:
    bench.send(b"POST / HTTP/1.1\r\nContent-Length: 200000000\r\nExpect: 100-continue\r\n\r\n")
    for _ in range(100):
        bench.send(bytes(65536))

    assert bench.status == 413
    assert b"100 Continue" not in bench.transport.value()
    assert not bench.ends
    bench.clock.advance(module.LINGER_S)
    assert bench.ends


def test_one_connection_too_many_hears_why() -> None:
    crowd = Crowd(most=1, most_per_address=1)
    first = Bench(crowd)
    first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    second = Bench(crowd)

    assert second.status == 503
    first.channel.connectionLost()
    assert Bench(crowd).status is None


def test_a_lost_connection_leaves_nothing_behind(bench: Bench) -> None:
    bench.send(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")

    bench.channel.connectionLost()

    assert bench.clock.getDelayedCalls() == []
    assert bench.channel.factory.server.connected == []


LARGE = b"POST /users/import?x=1 HTTP/1.1\r\nHost: a\r\nCookie: station=abc\r\nContent-Length: 900000\r\n"


def test_a_file_is_read_only_after_its_sender_is_known(bench: Bench, data: DataDirectory) -> None:
    bench.send(LARGE + b"Expect: 100-continue\r\n\r\n" + bytes(1000))

    assert bench.bodies.asked == [("/users/import", "POST", "station=abc")]
    assert bench.transport.value() == b""
    assert bench.transport.producerState == "paused"
    bench.bodies.permission.callback(True)
    assert b"100 Continue" in bench.transport.value()
    assert bench.transport.producerState == "producing"
    spool = bench.channel.requests[0].spool
    bench.send(bytes(899_000) + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")

    assert bench.channel.passed_on == [(b"POST", b"/users/import?x=1", bytes(900_000))]
    bench.channel.connectionLost()
    assert spool.closed
    assert list(data.files.iterdir()) == []


def test_a_file_of_a_stranger_is_not_read(bench: Bench) -> None:
    bench.send(LARGE + b"\r\n" + bytes(1000))
    bench.bodies.permission.callback(False)

    assert (bench.status, bench.channel.passed_on) == (403, [])
    assert b"100 Continue" not in bench.transport.value()


def test_a_question_that_fails_is_no_permission(bench: Bench) -> None:
    bench.send(LARGE + b"\r\n")
    bench.bodies.permission.errback(RuntimeError())

    assert bench.status == 403


def test_a_sender_who_leaves_while_the_question_is_asked_does_no_harm(bench: Bench) -> None:
    bench.send(LARGE + b"\r\n")
    bench.channel.connectionLost()
    bench.bodies.permission.callback(True)

    assert bench.transport.value() == b""


def test_a_file_in_chunks_or_too_large_is_refused_whoever_sends_it(bench: Bench) -> None:
    bench.send(b"POST /users/import HTTP/1.1\r\nHost: a\r\nContent-Length: 1000001\r\n\r\n")

    assert (bench.status, bench.bodies.asked) == (413, [])


def test_a_file_has_the_time_that_its_size_needs_and_no_more(bench: Bench, data: DataDirectory) -> None:
    bench.send(LARGE + b"\r\n")
    bench.bodies.permission.callback(True)
    bench.clock.advance(REQUEST_S + 10)
    assert bench.status is None

    bench.send(bytes(1000))
    bench.clock.advance(900_000 / module.SLOWEST_BYTES_PER_S)

    assert bench.status == 408


def test_a_file_without_room_on_the_disk_is_refused_before_it_is_read(
    bench: Bench, data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_SPARE_BYTES", 10**18)
    bench.send(LARGE + b"\r\n")

    bench.bodies.permission.callback(True)

    assert (bench.status, bench.channel.passed_on) == (507, [])
    assert b"too little room" in bench.transport.value()


def test_a_disk_that_fills_during_a_file_is_said(bench: Bench, data: DataDirectory) -> None:
    bench.send(LARGE + b"\r\n")
    bench.bodies.permission.callback(True)

    class Full:
        def write(self, _data: bytes) -> None:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    bench.channel.requests[0].spool = Full()
    bench.send(bytes(1000))

    assert (bench.status, bench.channel.passed_on) == (507, [])
