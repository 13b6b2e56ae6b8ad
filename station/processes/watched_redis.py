"""`python -m station.processes.watched_redis PROGRAM`: redis-server with a parent that tells systemd how it is.

A redis-server that hangs looks alive to systemd. The parent asks it every two seconds and beats while it answers; it
is a program of its own, because a process with Django in it is four times as large.
"""

import ctypes
import os
import signal
import sys
import time
from typing import NoReturn

from station.host.heartbeat import Heartbeat, from_environment
from station.processes.redis_probe import INTERVAL_S, RedisProbe

SOCKET_NAME = "redis.sock"
# Until the first answer.
_FIRST_INTERVAL_S = 0.05
_SIGNALS = (signal.SIGTERM, signal.SIGCHLD)
_FIRST_INHERITED = 3
_MANY_DESCRIPTORS = 256
# From prctl(2), for which Python has no binding.
_PR_SET_PDEATHSIG = 1


def main(program: str, heartbeat: Heartbeat) -> int:
    """Run the server, whose configuration is on standard input, until it ends; SIGTERM is handed on to it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    server = _start(program)
    probe = RedisProbe(SOCKET_NAME, interval_s=_FIRST_INTERVAL_S)
    while True:
        now_s = time.monotonic()
        if probe.step(now_s):
            probe.interval_s = INTERVAL_S
            heartbeat.beat(now_s)
            heartbeat.serves("answers")
        told = signal.sigtimedwait(_SIGNALS, probe.interval_s)
        if told is not None and told.si_signo == signal.SIGTERM:
            os.kill(server, signal.SIGTERM)
        ended, status = os.waitpid(server, os.WNOHANG)
        if ended:
            return abs(os.waitstatus_to_exitcode(status))


def _start(program: str) -> int:
    parent = os.getpid()
    server = os.fork()
    if not server:
        _become(program, parent)
    return server


def _become(program: str, parent: int) -> NoReturn:
    # Nobody else would end it: another one is started in its place.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.environ.pop("NOTIFY_SOCKET", None)
    # The parent holds the lock of the data directory; a server that outlives it must not.
    os.closerange(_FIRST_INHERITED, _MANY_DESCRIPTORS)
    os.execv(program, ["redis-server", "-"])  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], from_environment()))
