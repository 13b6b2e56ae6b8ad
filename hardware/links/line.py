"""A serial line for devices that answer each request, with a line of text or a frame that says where it ends."""

import asyncio
from collections.abc import Callable

from hardware.links.backoff import PortBackoff
from hardware.links.port import PortFailed, SerialPort
from station.domain.ports import DeviceGarbled, DeviceSilent


class LineLost(DeviceSilent):
    """The serial port is not there, or went away while waiting for an answer."""


class SerialLine:
    """One port, one question at a time; the port is opened by the first question and again after a loss."""

    def __init__(
        self,
        port: str,
        *,
        baudrate: int,
        maximum_length: int,
        terminator: bytes = b"",
        end_of: Callable[[bytes], int | None] | None = None,
    ) -> None:
        """`end_of` says where an answer without a terminator ends; None while something of it is missing."""
        self._name = port
        self._baudrate = baudrate
        self._terminator = terminator
        self._end_of = end_of or self._end_of_line
        self._maximum_length = maximum_length
        self._port: SerialPort | None = None
        self._lock = asyncio.Lock()
        self._backoff = PortBackoff()
        self._trouble = "the port was closed"
        self._is_open = False
        self._buffer = b""
        self._answer: asyncio.Future[bytes] | None = None

    def open(self) -> None:
        """Allow questions; the first one opens the port."""
        self._is_open = True

    async def ask(self, request: bytes, *, timeout_s: float) -> bytes:
        """Send bytes and wait for the next line, its terminator included.

        Raises LineLost, DeviceSilent after the time-out, DeviceGarbled for an endless line.
        """
        async with self._lock:
            port = self._opened()
            self._buffer = b""
            self._answer = asyncio.get_running_loop().create_future()
            try:
                # What came without being asked, or too late, is no answer to this question.
                port.forget_input()
                port.send(request)
                async with asyncio.timeout(timeout_s):
                    return await self._answer
            except TimeoutError as error:
                if self._buffer:
                    raise DeviceGarbled(f"{self._name}: line without end: {self._buffer[:40]!r}") from error
                raise DeviceSilent(f"{self._name}: no answer within {timeout_s} s") from error
            except PortFailed as error:
                self._drop(str(error))
                raise LineLost(f"{self._name}: {self._trouble}") from error
            finally:
                self._answer = None

    def close(self) -> None:
        """Close the port, end a pending wait and allow no more questions."""
        self._is_open = False
        self._drop("the port was closed")

    def _opened(self) -> SerialPort:
        if self._port is not None:
            return self._port
        now_s = asyncio.get_running_loop().time()
        if not self._is_open or not self._backoff.allows(now_s):
            raise LineLost(f"{self._name}: {self._trouble}")
        try:
            self._port = SerialPort(
                self._name, on_received=self._on_received, on_lost=self._drop, baudrate=self._baudrate
            )
        except PortFailed as error:
            self._backoff.failed(now_s)
            self._trouble = str(error)
            raise LineLost(f"{self._name}: {self._trouble}") from error
        self._backoff.succeeded()
        return self._port

    def _on_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            return
        self._buffer += data
        end = self._end_of(self._buffer)
        if end is not None:
            self._answer.set_result(self._buffer[:end])
        elif len(self._buffer) > self._maximum_length:
            self._answer.set_exception(DeviceGarbled(f"{self._name}: line without end: {self._buffer[:40]!r}"))

    def _end_of_line(self, received: bytes) -> int | None:
        end = received.find(self._terminator)
        return end + len(self._terminator) if end >= 0 else None

    def _drop(self, trouble: str) -> None:
        port, self._port, self._trouble = self._port, None, trouble
        if port is not None:
            port.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LineLost(f"{self._name}: {trouble}"))
            # Nobody retrieves it when whoever waits is cancelled in the same moment.
            self._answer.exception()
