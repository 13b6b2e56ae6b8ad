"""A scriptable OCPP 1.6J central system in the test's own process: it writes everything down and misbehaves on demand.

In asynchronous tests `async with Backend.start() as backend`, in synchronous ones `with Backend.threaded() as backend`.
"""

import asyncio
import base64
import binascii
import ssl
import threading
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Self, TypeVar
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from ocpp_client.demo_backend import wire
from ocpp_client.demo_backend.books import ActionIsUnknown, Books
from ocpp_client.demo_backend.link import CallRefused, Direction, NoAnswer, StationAway, StationLink
from ocpp_client.demo_backend.wire import Message, Payload

BackendCallError = CallRefused

__all__ = [
    "Backend",
    "BackendCallError",
    "CallError",
    "Default",
    "Delay",
    "Drop",
    "Frame",
    "Garbage",
    "NoAnswer",
    "Silence",
    "StationAway",
    "ThreadedBackend",
    "Twice",
]

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Default:
    """Return as the books propose."""


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Return after a while; other frames are answered meanwhile."""

    seconds: float
    answer: "Script" = field(default_factory=Default)


@dataclass(frozen=True, kw_only=True)
class CallError:
    """Refuse with a CALLERROR; nothing is booked."""

    code: str = "InternalError"
    description: str = ""
    details: Payload = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Silence:
    """Never answer. `booked`: the backend took the message, only the answer is lost."""

    booked: bool = False


@dataclass(frozen=True, kw_only=True)
class Drop:
    """Abort the connection instead of answering. `booked` as with Silence."""

    booked: bool = False


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """Send this text instead of an answer; `{id}` in it becomes the message id."""

    text: str | bytes = '[3,"{id}",'


@dataclass(frozen=True, kw_only=True)
class Twice:
    """Return as the books propose, two times over."""


Fixed = Default | Delay | CallError | Silence | Drop | Garbage | Twice | Payload
Script = Fixed | Callable[[Payload], Fixed]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One WebSocket message in either direction. `kind` is call, result, error or broken."""

    number: int
    direction: Direction
    station: str
    connection: int
    at_s: float
    moment: datetime
    text: str | bytes
    kind: str
    message_id: str | None = None
    action: str | None = None
    payload: Payload = field(default_factory=dict)
    code: str | None = None

    @property
    def from_station(self) -> bool:
        """Return whether the station sent it."""
        return self.direction is Direction.FROM_STATION


@dataclass(frozen=True, kw_only=True)
class SchemaError:
    frame: Frame
    reason: str


@dataclass(kw_only=True)
class Connection:
    """One accepted WebSocket, open or already gone."""

    number: int
    station: str
    path: str
    headers: dict[str, str]
    opened_at_s: float
    link: StationLink
    client_certificate: Any = None
    closed_at_s: float | None = None
    close_code: int | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the connection still stands."""
        return self.closed_at_s is None


class Backend:
    """The central system. Script it over `answers` and `script_next`; ask `frames`, `books` and `schema_errors`."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        basic_auth: tuple[str, bytes] | None = None,
        subprotocols: Sequence[str] = ("ocpp1.6",),
        interval_s: int = 180,
        ping_interval_s: float | None = None,
        check_schemas: bool = True,
    ) -> None:
        self.host = "127.0.0.1"
        self.port = 0
        self.tls = tls
        self.basic_auth = basic_auth
        self.subprotocols = list(subprotocols)
        self.ping_interval_s = ping_interval_s
        self.check_schemas = check_schemas
        # Handshake misbehaviour: an HTTP status instead of 101, no answer at all, a close code right after 101.
        self.refuse_with: int | None = None
        self.stall_handshake = False
        self.close_on_connect: int | None = None
        self.answers: dict[str, Script] = {}
        self.books = Books(interval_s=interval_s)
        self.frames: list[Frame] = []
        self.connections: list[Connection] = []
        self.schema_errors: list[SchemaError] = []
        # A second CALL of the station while the answer to its first one was still under way (OCPP-J 1.6, 4.1.1).
        self.overlapping_calls: list[tuple[Frame, Frame]] = []
        self.refused_handshakes: list[tuple[str, int]] = []
        self._next: defaultdict[str, deque[Script]] = defaultdict(deque)
        self._under_way: dict[tuple[int, str], Frame] = {}
        self._server: Server | None = None
        self._stalled: set[ServerConnection] = set()
        self._news: set[asyncio.Future[None]] = set()

    @classmethod
    @asynccontextmanager
    async def start(cls, port: int = 0, **options: Any) -> AsyncIterator[Self]:
        """Listen for the length of a block; options as in the constructor."""
        backend = cls(**options)
        backend.port = port
        await backend.listen()
        try:
            yield backend
        finally:
            await backend.stop_listening()

    @staticmethod
    @contextmanager
    def threaded(port: int = 0, **options: Any) -> "Iterator[ThreadedBackend]":
        """Listen in a thread of its own, for tests without an event loop."""
        threaded = ThreadedBackend(port=port, **options)
        try:
            yield threaded
        finally:
            threaded.stop()

    # --- listening and connections ---------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Give the endpoint without the identity."""
        return f"{'wss' if self.tls else 'ws'}://{self.host}:{self.port}"

    @property
    def connects(self) -> int:
        """Count the accepted WebSocket handshakes."""
        return len(self.connections)

    async def listen(self) -> None:
        """Start listening, again on the same port after an outage."""
        if self._server is not None:
            return
        self._server = await serve(
            self._serve_connection,
            self.host,
            self.port,
            ssl=self.tls,
            process_request=self._process_request,
            select_subprotocol=self._select_subprotocol,
            ping_interval=self.ping_interval_s,
            max_size=None,
            # A stalled handshake lasts until the station loses patience, not until this side does.
            open_timeout=None,
            close_timeout=1,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop_listening(self, *, abort: bool = True) -> None:
        """Begin an outage: nobody can connect, and the connections there are break (or, without abort, are closed)."""
        server, self._server = self._server, None
        if server is None:
            return
        if abort:
            for connection in list(server.all_connections):
                connection.transport.abort()
        for stalled in self._stalled:
            stalled.transport.abort()
        server.close()
        await server.wait_closed()

    @asynccontextmanager
    async def outage(self, *, abort: bool = True) -> AsyncIterator[None]:
        """Be away for the length of a block."""
        await self.stop_listening(abort=abort)
        try:
            yield
        finally:
            await self.listen()

    def connection(self, station: str | None = None) -> Connection:
        """Give the newest open connection, of one station or of any.

        Raises:
            StationAway: there is none.
        """
        for one in reversed(self.connections):
            if one.is_open and station in (None, one.station):
                return one
        raise StationAway(station or "no station is connected")

    async def wait_connected(
        self, *, station: str | None = None, at_least: int = 1, timeout: float = DEFAULT_TIMEOUT_S
    ) -> Connection:
        """Wait until a connection stands and so many handshakes were made in all."""

        def standing() -> Connection | None:
            with suppress(StationAway):
                return self.connection(station) if self.connects >= at_least else None
            return None

        return await self._wait(standing, timeout, "a connection")

    async def drop(self, station: str | None = None) -> None:
        """Break the TCP connection without a word."""
        connection = self.connection(station)
        connection.link.socket.transport.abort()
        await self._wait(lambda: not connection.is_open or None, DEFAULT_TIMEOUT_S, "the end of the connection")

    async def close(self, code: int = 1000, reason: str = "", *, station: str | None = None) -> None:
        """Close the WebSocket in order."""
        await self.connection(station).link.socket.close(code, reason)

    def freeze(self, station: str | None = None) -> None:
        """Become a half-open peer: read nothing more from this connection, answer no ping."""
        transport = self.connection(station).link.socket.transport
        if isinstance(transport, asyncio.ReadTransport):
            transport.pause_reading()

    def thaw(self, station: str | None = None) -> None:
        """Read on after `freeze`."""
        transport = self.connection(station).link.socket.transport
        if isinstance(transport, asyncio.ReadTransport):
            transport.resume_reading()

    # --- scripts ---------------------------------------------------------------------------------------------

    def script_next(self, action: str, *scripts: Script, times: int = 1) -> None:
        """Return the next messages of this action so; afterwards `answers` holds again."""
        self._next[action].extend(list(scripts) * times)

    # --- what came -------------------------------------------------------------------------------------------

    def mark(self) -> int:
        """Note this moment, as `after` for the waiting and listing functions."""
        return len(self.frames)

    def received(self, action: str | None = None, *, after: int = 0, station: str | None = None) -> list[Frame]:
        """List the calls of the station, all or those of one action."""
        return [
            frame
            for frame in self.frames[after:]
            if frame.from_station
            and frame.kind == "call"
            and action in (None, frame.action)
            and station in (None, frame.station)
        ]

    async def wait_for(
        self,
        action: str,
        *,
        where: Callable[[Payload], bool] = lambda payload: True,
        count: int = 1,
        after: int = 0,
        station: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Frame:
        """Wait for a call of the station (the count-th that fits, from the mark `after` on) and return its frame."""

        def found() -> Frame | None:
            fitting = [one for one in self.received(action, after=after, station=station) if where(one.payload)]
            return fitting[count - 1] if len(fitting) >= count else None

        return await self._wait(found, timeout, action)

    async def wait_until(self, condition: Callable[["Backend"], T | None], *, timeout: float = DEFAULT_TIMEOUT_S) -> T:
        """Wait until the condition gives something true; it is asked after every frame and every connection change."""
        return await self._wait(lambda: condition(self), timeout, "the condition")

    # --- what we send ----------------------------------------------------------------------------------------

    async def call(
        self,
        action: str,
        payload: Payload | None = None,
        *,
        station: str | None = None,
        message_id: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
    ) -> Payload:
        """Call the station and return the payload of its answer.

        Raises:
            BackendCallError: the answer is a CALLERROR; `.code` is its code.
            NoAnswer, StationAway: none came in time, or the connection ended.
        """
        link = self.connection(station).link
        return await link.call(action, payload or {}, timeout_s=timeout, message_id=message_id)

    async def post(
        self, action: str, payload: Payload | None = None, *, station: str | None = None, message_id: str | None = None
    ) -> str:
        """Send a call without waiting; `answer` gives its answer by the message id returned."""
        return await self.connection(station).link.post(action, payload or {}, message_id=message_id)

    async def answer(
        self, message_id: str, *, station: str | None = None, timeout: float = DEFAULT_TIMEOUT_S
    ) -> Payload:
        """Wait for the answer to a posted call; raises like `call`."""
        return await self.connection(station).link.answer(message_id, timeout_s=timeout)

    async def send_raw(self, text: str | bytes, *, station: str | None = None) -> None:
        """Send a WebSocket message exactly as it is: text as text, bytes as binary."""
        await self.connection(station).link.send_raw(text)

    # --- inside ----------------------------------------------------------------------------------------------

    async def _process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.stall_handshake:
            self._stalled.add(socket)
            await socket.wait_closed()
            self._stalled.discard(socket)
        status = self.refuse_with
        if status is None and not self._may_enter(request):
            status = HTTPStatus.UNAUTHORIZED
        if status is None:
            return None
        self.refused_handshakes.append((request.path, int(status)))
        self._wake()
        response = socket.respond(HTTPStatus(status), "refused\n")
        if status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="ocpp"'
        return response

    def _may_enter(self, request: Request) -> bool:
        if self.basic_auth is None:
            return True
        user, password = self.basic_auth
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        try:
            given = base64.b64decode(credentials, validate=True)
        except binascii.Error:
            return False
        return scheme.lower() == "basic" and given == user.encode() + b":" + password

    def _select_subprotocol(self, socket: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
        return next((one for one in offered if one in self.subprotocols), None)

    async def _serve_connection(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        path = urlsplit(socket.request.path).path
        station = unquote(path.rpartition("/")[2])
        number = len(self.connections) + 1
        link = StationLink(station, socket, respond=self._respond, observe=self._observe)
        tls = socket.transport.get_extra_info("ssl_object")
        connection = Connection(
            number=number,
            station=station,
            path=path,
            headers=_plain(socket.request.headers),
            opened_at_s=time.monotonic(),
            link=link,
            client_certificate=tls.getpeercert() if tls is not None else None,
        )
        self.connections.append(connection)
        self._wake()
        try:
            if socket.subprotocol is None:
                # OCPP-J 1.6, 3.3: without a common protocol the handshake is completed, then the socket closed.
                await socket.close(1002, "no common subprotocol")
            elif self.close_on_connect is not None:
                await socket.close(self.close_on_connect)
            await link.serve()
        finally:
            connection.closed_at_s = time.monotonic()
            connection.close_code = socket.close_code
            self._wake()

    def _observe(
        self, link: StationLink, direction: Direction, text: str | bytes, message: Message | None, action: str | None
    ) -> None:
        frame = Frame(
            number=len(self.frames),
            direction=direction,
            station=link.station,
            connection=self._number(link),
            at_s=time.monotonic(),
            moment=datetime.now(UTC),
            text=text,
            action=action,
            **_parts(message),
        )
        self.frames.append(frame)
        if frame.from_station and self.check_schemas:
            self.schema_errors.extend(SchemaError(frame=frame, reason=reason) for reason in _complaints(frame))
        self._wake()

    async def _respond(self, link: StationLink, call: wire.Call) -> None:
        frame = self.frames[-1]
        number = self._number(link)
        for (connection, _), earlier in self._under_way.items():
            if connection == number:
                self.overlapping_calls.append((earlier, frame))
        queued = self._next[call.action]
        script = queued.popleft() if queued else self.answers.get(call.action, Default())
        await self._perform(link, call, script(call.payload) if callable(script) else script, frame)

    async def _perform(self, link: StationLink, call: wire.Call, script: Script, frame: Frame) -> None:
        if callable(script):
            script = script(call.payload)
        match script:
            case Delay():
                self._under_way[self._number(link), call.message_id] = frame
                link.spawn(self._perform_later(link, call, script, frame))
            case CallError():
                refusal = wire.CallError(
                    message_id=call.message_id,
                    code=script.code,
                    description=script.description,
                    details=script.details,
                )
                await link.send(refusal, action=call.action)
            case Silence() | Drop():
                if script.booked:
                    self._booked_answer(link, call, None)
                if isinstance(script, Drop):
                    link.socket.transport.abort()
            case Garbage(text=bytes(text)):
                await link.send_raw(text)
            case Garbage(text=str(text)):
                await link.send_raw(text.replace("{id}", call.message_id))
            case _:
                answer = self._friendly(link, call, script if isinstance(script, dict) else None)
                for _ in range(2 if isinstance(script, Twice) else 1):
                    await link.send(answer, action=call.action)

    async def _perform_later(self, link: StationLink, call: wire.Call, delay: Delay, frame: Frame) -> None:
        key = (self._number(link), call.message_id)
        try:
            await asyncio.sleep(delay.seconds)
        finally:
            self._under_way.pop(key, None)
        await self._perform(link, call, delay.answer, frame)

    def _friendly(self, link: StationLink, call: wire.Call, scripted: Payload | None) -> Message:
        try:
            return wire.CallResult(message_id=call.message_id, payload=self._booked_answer(link, call, scripted))
        except ActionIsUnknown:
            return wire.CallError(message_id=call.message_id, code="NotImplemented")

    def _booked_answer(self, link: StationLink, call: wire.Call, scripted: Payload | None) -> Payload:
        remembered = self.books.remembered_answer(link.station, call.message_id)
        if remembered is not None:
            return remembered
        now = datetime.now(UTC)
        answer = scripted if scripted is not None else self.books.propose_answer(call.action, call.payload, at=now)
        self.books.book(link.station, call.message_id, call.action, call.payload, answer, at=now)
        return answer

    def _number(self, link: StationLink) -> int:
        return next((one.number for one in reversed(self.connections) if one.link is link), 0)

    def _wake(self) -> None:
        for waiter in self._news:
            if not waiter.done():
                waiter.set_result(None)

    async def _wait(self, look: Callable[[], T | None], timeout_s: float, what: str) -> T:
        deadline_s = time.monotonic() + timeout_s
        while not (found := look()):
            waiter = asyncio.get_running_loop().create_future()
            self._news.add(waiter)
            try:
                await asyncio.wait_for(waiter, deadline_s - time.monotonic())
            except TimeoutError:
                raise TimeoutError(f"{what} did not come within {timeout_s} s; last frames:\n{self._tail()}") from None
            finally:
                self._news.discard(waiter)
        return found

    def _tail(self) -> str:
        return "\n".join(f"  {one.direction} {one.text[:200]!r}" for one in self.frames[-12:])


class ThreadedBackend:
    """The same backend for synchronous tests; `backend` gives the attributes (books, answers, schema_errors …)."""

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="test-backend", daemon=True)
        self._thread.start()
        self.backend = Backend(**options)
        self.backend.port = port
        try:
            self._run(self.backend.listen())
        except OSError:
            self._end()
            raise

    def stop(self) -> None:
        """Break all connections and end the thread."""
        self._run(self.backend.stop_listening())
        self._end()

    @property
    def url(self) -> str:
        """Give the endpoint without the identity."""
        return self.backend.url

    @property
    def port(self) -> int:
        """Give the port listened on."""
        return self.backend.port

    @property
    def books(self) -> Books:
        """Give the books of the central system."""
        return self.backend.books

    @property
    def answers(self) -> dict[str, Script]:
        """Give the lasting scripts by action."""
        return self.backend.answers

    @property
    def frames(self) -> list[Frame]:
        """Give a copy of all frames so far."""
        return list(self.backend.frames)

    @property
    def schema_errors(self) -> list[SchemaError]:
        """Give a copy of what the schemas refused so far."""
        return list(self.backend.schema_errors)

    @property
    def connects(self) -> int:
        """Count the accepted WebSocket handshakes."""
        return self.backend.connects

    def script_next(self, action: str, *scripts: Script, times: int = 1) -> None:
        """Return the next messages of this action so."""
        self._soon(lambda: self.backend.script_next(action, *scripts, times=times))

    def mark(self) -> int:
        """Note this moment, as `after` for the waiting and listing functions."""
        return self.backend.mark()

    def received(self, action: str | None = None, *, after: int = 0, station: str | None = None) -> list[Frame]:
        """List the calls of the station, all or those of one action."""
        return self._soon(lambda: self.backend.received(action, after=after, station=station))

    def wait_for(self, action: str, **options: Any) -> Frame:
        """Wait for a call of the station; options as in `Backend.wait_for`."""
        return self._run(self.backend.wait_for(action, **options))

    def wait_until(self, condition: Callable[[Backend], T | None], *, timeout: float = DEFAULT_TIMEOUT_S) -> T:
        """Wait until the condition gives something true."""
        return self._run(self.backend.wait_until(condition, timeout=timeout))

    def wait_connected(self, **options: Any) -> Connection:
        """Wait until a connection stands."""
        return self._run(self.backend.wait_connected(**options))

    def call(self, action: str, payload: Payload | None = None, **options: Any) -> Payload:
        """Call the station and return the payload of its answer; raises like `Backend.call`."""
        return self._run(self.backend.call(action, payload, **options))

    def post(self, action: str, payload: Payload | None = None, **options: Any) -> str:
        """Send a call without waiting for the answer."""
        return self._run(self.backend.post(action, payload, **options))

    def answer(self, message_id: str, **options: Any) -> Payload:
        """Wait for the answer to a posted call."""
        return self._run(self.backend.answer(message_id, **options))

    def send_raw(self, text: str | bytes, *, station: str | None = None) -> None:
        """Send a WebSocket message exactly as it is."""
        self._run(self.backend.send_raw(text, station=station))

    def drop(self, station: str | None = None) -> None:
        """Break the TCP connection without a word."""
        self._run(self.backend.drop(station))

    def close(self, code: int = 1000, reason: str = "", *, station: str | None = None) -> None:
        """Close the WebSocket in order."""
        self._run(self.backend.close(code, reason, station=station))

    def freeze(self, station: str | None = None) -> None:
        """Become a half-open peer."""
        self._soon(lambda: self.backend.freeze(station))

    def thaw(self, station: str | None = None) -> None:
        """Read on after `freeze`."""
        self._soon(lambda: self.backend.thaw(station))

    def stop_listening(self, *, abort: bool = True) -> None:
        """Begin an outage."""
        self._run(self.backend.stop_listening(abort=abort))

    def listen(self) -> None:
        """End an outage."""
        self._run(self.backend.listen())

    @contextmanager
    def outage(self, *, abort: bool = True) -> Iterator[None]:
        """Be away for the length of a block."""
        self.stop_listening(abort=abort)
        try:
            yield
        finally:
            self.listen()

    def _run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    def _soon(self, act: Callable[[], T]) -> T:
        async def acted() -> T:
            return act()

        return self._run(acted())

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _plain(headers: Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.raw_items()}


def _parts(message: Message | None) -> dict[str, Any]:
    match message:
        case wire.Call():
            return {"kind": "call", "message_id": message.message_id, "payload": message.payload}
        case wire.CallResult():
            return {"kind": "result", "message_id": message.message_id, "payload": message.payload}
        case wire.CallError():
            return {
                "kind": "error",
                "message_id": message.message_id,
                "code": message.code,
                "payload": {"description": message.description, "details": message.details},
            }
    return {"kind": "broken"}


def _complaints(frame: Frame) -> Iterator[str]:
    if isinstance(frame.text, bytes):
        yield "a frame must be a text message"
    match frame.kind:
        case "broken":
            yield "not an OCPP-J frame"
        case "call" if frame.action not in wire.FROM_STATION:
            yield f"no station sends {frame.action}"
        case "call":
            yield from (reason for _, reason in wire.call_violations(str(frame.action), frame.payload))
        case "result" if frame.action is None:
            yield "an answer to nothing"
        case "result" if frame.action in wire.FROM_BACKEND:
            yield from (reason for _, reason in wire.result_violations(frame.action, frame.payload))
        case "error" if frame.code not in wire.ERROR_CODES:
            yield f"unknown CALLERROR code {frame.code}"
