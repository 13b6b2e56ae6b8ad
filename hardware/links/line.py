"""A serial line for devices that answer a line of text with a line of text."""

import asyncio
import termios

import serial

from hardware.links.backoff import PortBackoff
from station.domain.ports import DeviceGarbled, DeviceSilent


class LineLost(DeviceSilent):
    """The serial port is not there, or went away while waiting for an answer."""


class SerialLine:
    """One port, one question at a time; the port is opened by the first question and again after a loss."""

    def __init__(self, port: str, *, baudrate: int, terminator: bytes, maximum_length: int) -> None:
        self._port = port
        self._baudrate = baudrate
        self._terminator = terminator
        self._maximum_length = maximum_length
        self._serial: serial.Serial | None = None
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
                port.reset_input_buffer()
                self._write(port, request)
                async with asyncio.timeout(timeout_s):
                    return await self._answer
            except TimeoutError as error:
                if self._buffer:
                    raise DeviceGarbled(f"{self._port}: line without end: {self._buffer[:40]!r}") from error
                raise DeviceSilent(f"{self._port}: no answer within {timeout_s} s") from error
            # What pyserial raises is an OSError, except for errors of the terminal settings.
            except (OSError, termios.error) as error:
                self._drop(f"the port was lost: {error}")
                raise LineLost(f"{self._port}: {self._trouble}") from error
            finally:
                self._answer = None

    def close(self) -> None:
        """Close the port, end a pending wait and allow no more questions."""
        self._is_open = False
        self._drop("the port was closed")

    def _opened(self) -> serial.Serial:
        if self._serial is not None:
            return self._serial
        loop = asyncio.get_running_loop()
        if not self._is_open or not self._backoff.allows(loop.time()):
            raise LineLost(f"{self._port}: {self._trouble}")
        try:
            port = serial.Serial(self._port, self._baudrate, timeout=0, write_timeout=0, exclusive=True)
        except (OSError, termios.error, ValueError) as error:
            self._backoff.failed(loop.time())
            self._trouble = f"the port cannot be opened: {error}"
            raise LineLost(f"{self._port}: {self._trouble}") from error
        self._backoff.succeeded()
        self._serial = port
        loop.add_reader(port.fileno(), self._on_readable)
        return port

    def _write(self, port: serial.Serial, data: bytes) -> None:
        # Requests are a few bytes and only one is under way: a port that cannot take them is not drained by anyone.
        if port.write(data) != len(data):
            raise serial.SerialException("the port takes no more bytes")

    def _on_readable(self) -> None:
        port = self._serial
        if port is None:
            return
        try:
            data = port.read(4096)
        except (OSError, termios.error) as error:
            self._drop(f"the port was lost: {error}")
            return
        if self._answer is None or self._answer.done():
            return
        self._buffer += data
        end = self._buffer.find(self._terminator)
        if end >= 0:
            self._answer.set_result(self._buffer[: end + len(self._terminator)])
        elif len(self._buffer) > self._maximum_length:
            self._answer.set_exception(DeviceGarbled(f"{self._port}: line without end: {self._buffer[:40]!r}"))

    def _drop(self, trouble: str) -> None:
        port, self._serial, self._trouble = self._serial, None, trouble
        if port is not None:
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(LineLost(f"{self._port}: {trouble}"))
