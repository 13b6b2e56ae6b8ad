"""Listens for energy managers: few connections, small buffers, no haste.

The server lives beside the control of the charging points and must never delay it: each connection has one request
under way at most, is read no faster than it is answered, and gets a share of time that no flood can enlarge. pymodbus
has a server, too; it takes any number of connections and requests and keeps what a slow client does not read.
"""

import asyncio
import logging
import math
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import ip_address

from pymodbus.framer import FramerSocket
from pymodbus.pdu import DecodePDU

from hardware.runtime.energy_manager import EnergyManager
from hardware.runtime.modbus_server.handler import RequestHandler
from loadmgmt.requests import Written
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.snapshot import ModbusClientSnapshot, ModbusRefusalSnapshot

logger = logging.getLogger(__name__)

MOST_CLIENTS = 8
# A connection on which nothing is asked for so long is closed; when all places are taken, one that is silent for
# SPARE_S gives way to a new one.
IDLE_S, SPARE_S = 300.0, 60.0
# A frame that has begun is complete in this time, and an answer is read.
FRAME_S, SENT_S = 5.0, 5.0
# What a connection, and all of them together, may ask for over time and at once; more is delayed. An energy manager
# asks some times a second at most. A request costs the processor about 0.8 ms on a desk, and more in a station.
REQUESTS_PER_S, BURST = 10, 20
ALL_REQUESTS_PER_S, ALL_BURST = 60, 120
# After a connection was refused, the next one waits so long: a flood of connections costs no more than this.
REFUSED_S = 0.05
_HEADER = 6
# Modbus TCP implementation guide V1.0b: unit identifier, function code and up to 252 bytes.
_SHORTEST, _LONGEST = 2, 254
_BUFFER = 1024
_FRAMER = FramerSocket(DecodePDU(True))


class NoFrame(ValueError):
    """What comes over a connection is no Modbus TCP."""


@dataclass(kw_only=True)
class Pace:
    """How soon a request is served: so many per second over time, and `burst` at once."""

    per_s: float
    burst: int
    due_s: float = -math.inf

    def wait_s(self, now_s: float) -> float:
        """Count one request; return how long it has to wait."""
        self.due_s = max(self.due_s, now_s) + 1 / self.per_s
        return max(self.due_s - now_s - self.burst / self.per_s, 0.0)


class Listener:
    """Serves the ports of all charging points."""

    def __init__(self, energy_manager: EnergyManager, handler: RequestHandler, *, changed: Callable[[], None]) -> None:
        self._energy_manager = energy_manager
        self._handler = handler
        self._changed = changed
        self._clients: dict[object, ModbusClientSnapshot] = {}
        self._active_s: dict[object, float] = {}
        self._connections: dict[object, asyncio.Task[None]] = {}
        self._pace = Pace(per_s=ALL_REQUESTS_PER_S, burst=ALL_BURST)
        self._tasks = BackgroundTasks(logger)
        energy_manager.clients = self._clients

    async def serve(self, sockets: Sequence[socket.socket]) -> None:
        """Serve for ever; the socket of the first charging point comes first. Closes everything at the end."""
        try:
            async with asyncio.TaskGroup() as group:
                for number, listening in enumerate(sockets, start=1):
                    group.create_task(self._accept(listening, number))
        finally:
            for listening in sockets:
                listening.close()
            await self._tasks.close()
            self._clients.clear()

    async def _accept(self, listening: socket.socket, number: int) -> None:
        loop = asyncio.get_running_loop()
        port = listening.getsockname()[1]
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except OSError as problem:
                # The other side has gone, or there are no more file descriptors.
                logger.debug("a connection could not be accepted: %s", problem)
                await asyncio.sleep(REFUSED_S)
                continue
            client = plain_address(address[0])
            reason = self._refusal(client)
            if reason:
                connection.close()
                self._energy_manager.refusal = ModbusRefusalSnapshot(at=clock.now(), address=client, reason=reason)
                await asyncio.sleep(REFUSED_S)
                continue
            key = object()
            self._clients[key] = ModbusClientSnapshot(address=client, port=port, since=clock.now())
            self._active_s[key] = clock.monotonic_s()
            self._connections[key] = self._tasks.spawn(self._converse(key, connection, number, client))
            self._changed()

    def _refusal(self, client: str) -> str:
        if not self._energy_manager.settings.admits(client):
            return "not_listed"
        if len(self._clients) < MOST_CLIENTS:
            return ""
        longest = min(self._active_s, key=lambda key: self._active_s[key])
        if clock.monotonic_s() - self._active_s[longest] < SPARE_S:
            return "too_many"
        self._connections[longest].cancel()
        self._forget(longest)
        return ""

    def close_unlisted(self) -> None:
        """Close the connections of those whom the access list no longer admits."""
        for key, client in tuple(self._clients.items()):
            if not self._energy_manager.settings.admits(client.address):
                self._connections[key].cancel()
                self._forget(key)
                self._energy_manager.refusal = ModbusRefusalSnapshot(
                    at=clock.now(), address=client.address, reason="not_listed"
                )

    def _forget(self, key: object) -> None:
        self._clients.pop(key, None)
        self._active_s.pop(key, None)
        self._connections.pop(key, None)
        self._changed()

    async def _converse(self, key: object, connection: socket.socket, number: int, client: str) -> None:
        writer: asyncio.StreamWriter | None = None
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader, writer = await asyncio.open_connection(sock=connection, limit=_BUFFER)
            writer.transport.set_write_buffer_limits(high=_BUFFER)
            pace = Pace(per_s=REQUESTS_PER_S, burst=BURST)
            while True:
                header, body = await read_frame(reader)
                self._active_s[key] = clock.monotonic_s()
                now_s = clock.monotonic_s()
                await asyncio.sleep(max(pace.wait_s(now_s), self._pace.wait_s(now_s)))
                answer = await self._handler.answer(
                    body[1:],
                    identifier=body[0],
                    port_of_point=number,
                    client=client,
                    noted=lambda written: self._note(key, written),
                )
                answer.dev_id, answer.transaction_id = body[0], int.from_bytes(header[:2], "big")
                writer.write(_FRAMER.buildFrame(answer))
                async with asyncio.timeout(SENT_S):
                    await writer.drain()
        except (NoFrame, OSError, EOFError, TimeoutError) as reason:
            logger.debug("the connection of %s ends: %s", client, reason or type(reason).__name__)
        finally:
            self._forget(key)
            if writer is None:
                connection.close()
            else:
                # Not `close`: what the client does not read would be kept for it.
                writer.transport.abort()

    def _note(self, key: object, written: Sequence[Written]) -> None:
        known = self._clients.get(key)
        if known is None:
            return
        if not written:
            self._clients[key] = replace(known, last_read_at=clock.now())
            return
        last = written[-1]
        self._clients[key] = replace(
            known, last_write_at=clock.now(), last_write_register=last.address, last_write_value=last.value
        )
        self._changed()


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Read one frame: its header, and unit identifier and body. Raises NoFrame, EOFError or TimeoutError."""
    async with asyncio.timeout(IDLE_S):
        first = await reader.readexactly(1)
    async with asyncio.timeout(FRAME_S):
        header = first + await reader.readexactly(_HEADER - 1)
        protocol, length = int.from_bytes(header[2:4], "big"), int.from_bytes(header[4:6], "big")
        if protocol or not _SHORTEST <= length <= _LONGEST:
            raise NoFrame(header.hex())
        return header, await reader.readexactly(length)


def listen(ports: Sequence[int]) -> list[socket.socket]:
    """Open all ports, or none. Raises OSError with the port in `filename`."""
    opened: list[socket.socket] = []
    for port in ports:
        try:
            opened.append(_listen(port))
        except OSError as problem:
            for each in opened:
                each.close()
            problem.filename = str(port)
            raise
    return opened


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        with suppress(OSError):
            return _non_blocking(
                socket.create_server(("::", port), family=socket.AF_INET6, backlog=MOST_CLIENTS, dualstack_ipv6=True)
            )
    return _non_blocking(socket.create_server(("", port), backlog=MOST_CLIENTS))


def _non_blocking(listening: socket.socket) -> socket.socket:
    listening.setblocking(False)
    return listening


def plain_address(address: str) -> str:
    """Return an address as people write it: an IPv4 client of a socket for both families is an IPv4 client."""
    found = ip_address(address.partition("%")[0])
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)
