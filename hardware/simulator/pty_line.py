"""A serial line played by a pseudo-terminal under a stable name."""

import asyncio
import errno
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path

_READ_SIZE = 4096
_TERMINALS = Path("/dev/pts")


def forget_lines(folder: Path) -> None:
    """Remove the names a killed simulator left: the terminal behind one may be a neighbour's by now."""
    for path in folder.glob("*"):
        if path.is_symlink() and path.readlink().parent == _TERMINALS:
            path.unlink(missing_ok=True)


class PtyLine:
    """One end of a serial line; the station opens the other one by the name `path`."""

    def __init__(
        self,
        path: Path,
        receive: Callable[[bytes], bytes],
        *,
        tell: Callable[[], bytes] | None = None,
        every_s: float = 1,
        is_plugged: Callable[[], bool] = lambda: True,
    ) -> None:
        """`receive` takes the bytes that came and answers the bytes to send.

        `tell`: what the device sends without being asked, `every_s`. `is_plugged`: whether its adapter is plugged in.
        """
        self._path = path
        self._receive = receive
        self._tell = tell
        self._every_s = every_s
        self._is_plugged = is_plugged
        self._due: asyncio.TimerHandle | None = None
        self._master = -1
        self._slave = -1

    @property
    def name(self) -> str:
        """The name of the port."""
        return self._path.name

    def open(self) -> None:
        """Make the pseudo-terminal and put its name in place, instead of one a killed process left."""
        self._master, self._slave = os.openpty()
        # The slave's end stays open here as well: without any client, reading the master would fail (EIO).
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        fresh = self._path.with_name(self._path.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(self._slave))
        fresh.replace(self._path)
        loop = asyncio.get_running_loop()
        loop.add_reader(self._master, self._on_readable)
        if self._tell is not None:
            self._due = loop.call_later(self._every_s, self._on_due, self._tell)

    def follow_the_plug(self) -> None:
        """Pull the adapter, or plug it in again: the name stays, the terminal behind it is another one."""
        if not self._is_plugged():
            self.close()
        elif self._master < 0:
            self.open()

    def close(self) -> None:
        """Remove the line; a client that holds it sees the adapter unplugged."""
        if self._master < 0:
            return
        if self._due is not None:
            self._due.cancel()
        asyncio.get_running_loop().remove_reader(self._master)
        if self._path.is_symlink() and str(self._path.readlink()) == os.ttyname(self._slave):
            self._path.unlink()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1

    def _on_readable(self) -> None:
        try:
            data = os.read(self._master, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return
        self._send(self._receive(data))

    def _on_due(self, tell: Callable[[], bytes]) -> None:
        self._due = asyncio.get_running_loop().call_later(self._every_s, self._on_due, tell)
        # What nobody has read since the last time would be lost on a real line; here it would be taken for new later.
        termios.tcflush(self._slave, termios.TCIFLUSH)
        self._send(tell())

    def _send(self, data: bytes) -> None:
        if not data:
            return
        try:
            os.write(self._master, data)
        except BlockingIOError:
            # Nobody reads the line and its buffer is full: on a real line these bytes would be lost as well.
            return
