"""Finding out whether Redis answers, without ever waiting for it: one that hangs looks alive to everybody else."""

import os
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

# Between two questions; each costs both sides a few system calls.
INTERVAL_S = 2.0
# So many questions in a row without an answer, and whoever asks ends it. Counted in own looks, so that an asker who was
# stopped himself accuses nobody.
MOST_UNANSWERED = 5
_PING = b"PING\r\n"
_CREDENTIALS = struct.Struct("3i")


@dataclass
class RedisProbe:
    """One connection over which Redis is asked now and then. Any answer counts, a refusal too."""

    address: str
    unanswered: int = field(default=0, init=False)
    _socket: socket.socket | None = field(default=None, init=False)
    _next_s: float = field(default=0.0, init=False)

    def step(self, at_s: float) -> bool:
        """Look for the answer to the last question and ask the next one; return whether there was an answer."""
        if at_s < self._next_s:
            return False
        self._next_s = at_s + INTERVAL_S
        is_answered = self._has_answered()
        self.unanswered = 0 if is_answered else self.unanswered + 1
        self._ask()
        return is_answered

    def forget(self) -> None:
        """Begin anew with another Redis."""
        self.unanswered = 0
        self._close()

    def listener(self) -> int | None:
        """Return the process that listens at the other end; None without a connection."""
        if self._socket is None:
            return None
        packed = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid: int = _CREDENTIALS.unpack(packed)[0]
        return pid or None

    def _has_answered(self) -> bool:
        if self._socket is None:
            return False
        try:
            received = self._socket.recv(4096)
        except BlockingIOError:
            return False
        except OSError:
            received = b""
        if not received:
            self._close()
        return bool(received)

    def _ask(self) -> None:
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
                self._socket.setblocking(False)
                self._socket.connect(self.address)
            self._socket.send(_PING)
        except BlockingIOError:
            # Its queue of connections or of bytes is full: that is no answer either.
            return
        except OSError:
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


@dataclass
class RedisGuard:
    """Ends a Redis that hangs, where no supervisor of ours does: systemd starts it again."""

    probe: RedisProbe

    def step(self, at_s: float) -> int | None:
        """Ask, and kill who does not answer; return the process that was killed."""
        self.probe.step(at_s)
        if self.probe.unanswered < MOST_UNANSWERED or (pid := self.probe.listener()) is None:
            return None
        self.probe.forget()
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            return pid
        return None
