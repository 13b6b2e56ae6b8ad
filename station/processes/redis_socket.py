"""Waiting for the private Redis at the start of a process."""

import socket
import time
from contextlib import closing

from django.conf import settings

_PATIENCE_S = 5.0
# A healthy Redis answers in less than a millisecond; this is for one on a busy board.
_ANSWER_S = 2.0
_PING = b"PING\r\n"
_STEP_S = 0.01


def answers() -> bool:
    """Try to connect."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        return _connects(probe)


def is_silent() -> bool:
    """Return whether somebody takes connections there and answers nothing, for so long that Redis must hang."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        if not _connects(probe):
            return False
        try:
            probe.sendall(_PING)
            # Any answer counts, a refusal too.
            return not probe.recv(1)
        except OSError:
            # Too late, or not even connected because so many wait; a connection that is closed is no answer, either.
            return True


def _connects(probe: socket.socket) -> bool:
    probe.settimeout(_ANSWER_S)
    try:
        probe.connect(settings.REDIS_SOCKET)
    except (BlockingIOError, TimeoutError):
        # Somebody is there, and does not even take the connections that wait.
        return True
    except OSError:
        return False
    return True


def wait() -> bool:
    """Wait a moment for Redis, so that a worker's first try succeeds; a late Redis is its own retry's affair."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not (up := answers()) and time.monotonic() < deadline_s:
        time.sleep(_STEP_S)
    return up
