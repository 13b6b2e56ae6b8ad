"""Finding out whether Redis answers, without ever waiting for it: one that hangs looks alive to everybody else."""

import socket
from dataclasses import dataclass, field

# Between two questions; each costs both sides a few system calls.
INTERVAL_S = 2.0
_PING = b"PING\r\n"


@dataclass
class RedisProbe:
    """Asks Redis now and then, through its path and over a new connection each time. Any answer counts, a refusal too.

    A connection that is kept would still be answered when the socket's file is gone, and nobody else finds Redis.
    """

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
        self._close()
        return bool(received)

    def _ask(self) -> None:
        if self._socket is not None:
            # The answer is late, and counts whenever it comes.
            return
        try:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
            self._socket.connect(self.address)
            self._socket.send(_PING)
        except OSError:
            # Nobody is there, or the queue of connections is full: that is no answer either.
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
