"""A serial port in the event loop: bytes go out at once and come in as they arrive."""

import asyncio
import errno
import os
import termios
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import serial

_READ_SIZE = 4096
_PSEUDO_TERMINALS = Path("/dev/pts")


class PortTrouble(StrEnum):
    """What is the matter with a port, for whoever has to say what to do."""

    MISSING = "missing"
    FORBIDDEN = "forbidden"
    BUSY = "busy"
    # No serial port, or one with nothing behind it.
    UNUSABLE = "unusable"
    LOST = "lost"


_TROUBLES = {
    errno.ENOENT: PortTrouble.MISSING,
    errno.ENODEV: PortTrouble.MISSING,
    errno.ENXIO: PortTrouble.MISSING,
    errno.EACCES: PortTrouble.FORBIDDEN,
    errno.EPERM: PortTrouble.FORBIDDEN,
    errno.EBUSY: PortTrouble.BUSY,
    # The lock that keeps two programs from one port.
    errno.EAGAIN: PortTrouble.BUSY,
}


class PortFailed(Exception):
    """The port cannot be opened or set, takes no more bytes, or is gone."""

    def __init__(self, reason: str, trouble: PortTrouble = PortTrouble.LOST) -> None:
        super().__init__(reason)
        self.trouble = trouble


class SerialPort:
    """An open port. `on_received` is told what arrives, `on_lost` why the port is of no use any more.

    Reading and writing are a system call each: pyserial's own reading asks for readiness once more, and a transport
    of asyncio joins and leaves the selector for every write (measured: a third of what a request cost).
    """

    def __init__(
        self,
        name: str,
        *,
        on_received: Callable[[bytes], None],
        on_lost: Callable[[str], None],
        baudrate: int,
        parity: str = "N",
        stopbits: int = 1,
    ) -> None:
        """Open and set the port. Raises PortFailed."""
        self._on_received = on_received
        self._on_lost = on_lost
        self._is_closed = False
        try:
            self._serial = serial.serial_for_url(
                name,
                baudrate,
                parity=_settable(parity, name),
                stopbits=stopbits,
                timeout=0,
                write_timeout=0,
                exclusive=True,
            )
            self._descriptor = self._serial.fileno()
        # pyserial lets errors of the terminal settings through as they are.
        except (OSError, termios.error, ValueError) as error:
            number = error.errno if isinstance(error, OSError) else None
            trouble = PortTrouble.UNUSABLE if number is None else _TROUBLES.get(number, PortTrouble.UNUSABLE)
            raise PortFailed(f"the port cannot be opened: {error}", trouble) from error
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._on_readable)

    def send(self, data: bytes) -> None:
        """Send bytes. Raises PortFailed."""
        # Requests are a few bytes and only one is under way: a port that cannot take them is not drained by anyone.
        try:
            if self._serial.write(data) != len(data):
                raise PortFailed("the port was lost: it takes no more bytes")
        except (OSError, termios.error) as error:
            raise PortFailed(f"the port was lost: {error}") from error

    def forget_input(self) -> None:
        """Drop what has arrived and was not read yet. Raises PortFailed."""
        try:
            self._serial.reset_input_buffer()
        except (OSError, termios.error) as error:
            raise PortFailed(f"the port was lost: {error}") from error

    def close(self) -> None:
        """Close the port; nothing is told any more."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.remove_reader(self._descriptor)
            self._serial.close()

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._on_lost(f"the port was lost: {error}")
            return
        if not data:
            # An adapter that was pulled is always readable and never has anything.
            self._on_lost("the port was lost")
            return
        self._on_received(data)


def _settable(parity: str, name: str) -> str:
    """Return the parity to ask for: a pseudo-terminal has none.

    Linux ignores it there without a word, and the C library calls it an error (EINVAL) when nothing else changes, so
    that the port can be opened once and never again.
    """
    return "N" if Path(name).resolve().parent == _PSEUDO_TERMINALS else parity
