"""The WebSocket between a station and its backend in virtual time, with everything networks do to it."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Close

ABNORMAL = 1006


class Peer(Protocol):
    """The backend's end."""

    def opened(self, socket: "Socket") -> None: ...
    def closed(self, socket: "Socket") -> None: ...
    def received(self, socket: "Socket", text: str) -> None: ...


class _Transport:
    def __init__(self, socket: "Socket") -> None:
        self._socket = socket

    def abort(self) -> None:
        self._socket.drop()

    def get_extra_info(self, name: str) -> object:
        """Tell what is known of the connection: a backend on the station itself, without TLS."""
        return ("127.0.0.1", 9) if name == "peername" else None


class Socket:
    """As much of a ClientConnection as the station uses; `deliver` and `drop` are the backend's end."""

    subprotocol = "ocpp1.6"

    def __init__(self, network: "Network", number: int) -> None:
        self.number = number
        self.transport = _Transport(self)
        self.open = True
        self.half_open = False
        self._network = network
        self._texts: deque[str | bytes] = deque()
        self._news = asyncio.Event()
        self._closed: Close | None = None
        self._by_us = False
        # Timers of one moment have no order of their own.
        self.under_way: deque[str] = deque()

    # --- the station's end

    async def send(self, text: str) -> None:
        """Send, unless the connection has ended."""
        await asyncio.sleep(0)
        if not self.open:
            raise self._error()
        self._network.from_station(self, text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in order."""
        self._by_us = True
        self._end(Close(code, reason))
        await asyncio.sleep(0)

    async def ping(self) -> asyncio.Future[None]:
        """Send a ping; the future is the pong."""
        await asyncio.sleep(0)
        if not self.open:
            raise self._error()
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.half_open:
            self._network.later(lambda: pong.done() or pong.set_result(None))
        return pong

    def __aiter__(self) -> "Socket":
        return self

    async def __anext__(self) -> str | bytes:
        while not self._texts:
            if not self.open:
                error = self._error()
                if isinstance(error, ConnectionClosedOK):
                    raise StopAsyncIteration
                raise error
            self._news.clear()
            await self._news.wait()
        return self._texts.popleft()

    # --- the backend's end

    def deliver(self, text: str | bytes) -> None:
        """Bring a message to the station."""
        if self.open and not self.half_open:
            self._texts.append(text)
            self._news.set()

    def drop(self) -> None:
        """End the TCP connection without a word."""
        self._end(None)

    def _end(self, close: Close | None) -> None:
        if not self.open:
            return
        self.open = False
        self._closed = close
        self._news.set()
        self._network.ended(self)

    def _error(self) -> ConnectionClosedError | ConnectionClosedOK:
        close = self._closed
        if close is not None and close.code in {1000, 1001}:
            return ConnectionClosedOK(close, close, rcvd_then_sent=not self._by_us)
        return ConnectionClosedError(close, close if self._by_us else None, rcvd_then_sent=None)


class World(Protocol):
    """Timers that belong to no process."""

    def call_later(self, seconds: float, act: Callable[[], object]) -> None: ...


@dataclass
class Network:
    """Opens sockets and carries texts, as late as `latency_s` says."""

    world: World
    peer: Peer
    latency_s: float = 0.01
    up: bool = True
    sockets: list[Socket] = field(default_factory=list)
    connects: int = 0

    @property
    def socket(self) -> Socket | None:
        """The connection that stands."""
        return self.sockets[-1] if self.sockets and self.sockets[-1].open else None

    async def open_socket(self, *_target: Any, **_options: Any) -> Socket:
        """Connect, as the station asks for it."""
        await asyncio.sleep(self.latency_s)
        if not self.up:
            raise ConnectionRefusedError
        self.connects += 1
        socket = Socket(self, self.connects)
        self.sockets = [*self.sockets[-3:], socket]
        self.peer.opened(socket)
        return socket

    def cut(self) -> None:
        """Cut the network: what stood ends, nothing new stands."""
        self.up = False
        self.drop()

    def drop(self) -> None:
        """Reset every connection."""
        for socket in self.sockets:
            socket.drop()

    def half_open(self) -> None:
        """Let packets vanish on the connection that stands, without a reset."""
        if self.socket is not None:
            self.socket.half_open = True

    def mend(self) -> None:
        """Be a good network for connections to come; half-open ones stay what they are."""
        self.up = True

    def from_station(self, socket: Socket, text: str) -> None:
        if not socket.half_open:
            socket.under_way.append(text)
            self.later(lambda: self._arrived(socket))

    def _arrived(self, socket: Socket) -> None:
        text = socket.under_way.popleft()
        if socket.open:
            self.peer.received(socket, text)

    def ended(self, socket: Socket) -> None:
        self.peer.closed(socket)

    def later(self, act: Callable[[], object], *, after_s: float | None = None) -> None:
        """Do something in a while, outside of any process."""
        self.world.call_later(self.latency_s if after_s is None else after_s, act)
