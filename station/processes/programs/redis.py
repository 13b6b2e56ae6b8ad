"""The station's private Redis: a Unix socket in the data directory, nothing on disk, nothing on the network."""

import json
import logging
import os
import sys
from pathlib import Path

from django.conf import settings

from station.host.heartbeat import Heartbeat, SystemdHeartbeat
from station.host.redis_server import RedisIsMissing, choose
from station.paths import DataDirectory
from station.processes.plan import Plan
from station.processes.watched_redis import SOCKET_NAME

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


def main(plan: Plan, heartbeat: Heartbeat) -> int:
    """Become redis-server; the process id and the parent-death signal stay. For systemd, become its parent."""
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
    if isinstance(heartbeat, SystemdHeartbeat):
        watched = [sys.executable, "-m", "station.processes.watched_redis", str(server.program)]
        place = os.environ | {"PYTHONPATH": str(settings.BASE_DIR)}
        return os.execve(sys.executable, watched, place)  # noqa: S606 - no shell is wanted
    return os.execv(server.program, ["redis-server", "-"])  # noqa: S606 - no shell is wanted
