"""Waiting for the private Redis at the start of a process."""

import socket
import time
from contextlib import closing

from django.conf import settings

_PATIENCE_S = 5.0
_STEP_S = 0.01


def answers() -> bool:
    """Try to connect."""
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(settings.REDIS_SOCKET)
        except OSError:
            return False
        return True


def wait() -> bool:
    """Wait a moment for Redis, so that a worker's first try succeeds; a late Redis is its own retry's affair."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not (up := answers()) and time.monotonic() < deadline_s:
        time.sleep(_STEP_S)
    return up
