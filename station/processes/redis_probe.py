"""Finding out whether Redis answers, without ever waiting for it: one that hangs looks alive to everybody else."""

import socket
from dataclasses import dataclass, field

# Between two questions; each costs both sides a few system calls.
INTERVAL_S = 2.0
_PING = b"PING\r\n"


@dataclass
class RedisProbe:
    """One connection over which Redis is asked now and then. Any answer counts, a refusal too."""

    address: str
    interval_s: float = INTERVAL_S
    _socket: socket.socket | None = field(default=None, init=False)
    _next_s: float = field(default=0.0, init=False)

    def step(self, at_s: float) -> bool:
        """Look for the answer to the last question and ask the next one; return whether there was an answer."""
        if at_s < self._next_s:
            return False
        self._next_s = at_s + self.interval_s
        is_answered = self._has_answered()
        self._ask()
        return is_answered

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
