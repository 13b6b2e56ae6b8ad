"""The ports of the web interface: which ones a start wants, whether they are free, and who is in the way."""

import errno
import json
import logging
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from django.db import DatabaseError, connections, transaction
from django.utils.translation import gettext as _

from station import clock, private_files
from station.host import listeners
from station.host.heartbeat import Heartbeat
from station.host.listeners import Holder
from station.paths import DataDirectory
from station.processes import lock
from station.processes.child import CannotBegin
from station.processes.plan import Address, AddressIsMalformed, Plan
from station.services import event_log
from station.ui import computer_words

logger = logging.getLogger(__name__)

EVENT = "web.port_taken"
_UNIT = "station-web.service"
_UNIT_FOLDERS = tuple(
    Path(folder) for folder in ("/usr/lib/systemd/system", "/lib/systemd/system", "/etc/systemd/system")
)
_COMMAND = re.compile(r"^ExecStart=(.*\brunprocess web\b.*)$", re.MULTILINE)
_FLAGS = frozenset({"--http", "--https", "--display"})
# What else may be wrong with an address the server finds out itself.
_IN_THE_WAY = frozenset({errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL})
# A predecessor that is on its way out.
_DYING_S = 2.0
_STEP_S = 0.1
# A new process costs a slow board the load of Django; one that waits costs nothing. Together with the start this stays
# far below TimeoutStartSec of station-web.service, and each look answers the watch of the main process.
PATIENCE_S = 30.0
_LOOK_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """Why nobody can listen at an address; `holder` None: it is not told who is there."""

    address: Address
    error: OSError
    holder: Holder | None

    @property
    def text(self) -> str:
        """Say it in words, with what to do."""
        if self.error.errno == errno.EADDRINUSE:
            return _("%(address)s is taken by %(holder)s. Stop that program, or give the station another port.") % {
                "address": self.address,
                "holder": told(self.holder),
            }
        return _("%(address)s cannot be opened: %(reason)s. Give the station another address or port.") % {
            "address": self.address,
            "reason": self.error.strerror or self.error,
        }


def told(holder: Holder | None) -> str:
    """Say who holds a port."""
    if holder is None:
        return computer_words.program("", 0, "")
    return computer_words.program(holder.program, holder.pid, holder.user)


def obstacle(address: Address) -> Obstacle | None:
    """Return what is in the way of a listener; None: nothing."""
    error = address.occupied_by_another()
    if error is None:
        return None
    return Obstacle(address=address, error=error, holder=listeners.holder(address.host, address.port))


def make_sure(plan: Plan, heartbeat: Heartbeat) -> None:
    """Note which ports the web interface wants, and wait until it gets them. Raises CannotBegin when that takes long.

    Without this the server would end without a word of who is in the way. SIGTERM ends the process while it waits.
    """
    wanted = [address for address in (plan.http, plan.https, plan.display) if address]
    _announce(DataDirectory(plan.data), wanted)
    _wait(wanted, _DYING_S, _STEP_S)
    obstacles = _in_the_way(wanted)
    _record(obstacles)
    if not obstacles:
        return
    text = _("The web interface waits for its ports. %(obstacles)s") % {"obstacles": _told(obstacles)}
    logger.warning("%s", text)
    heartbeat.waits(text)
    _wait(wanted, PATIENCE_S, _LOOK_S, heartbeat)
    obstacles = _in_the_way(wanted)
    _record(obstacles)
    if obstacles:
        raise CannotBegin(lambda: " ".join([_("The web interface cannot begin."), _told(obstacles)]))


def _wait(wanted: Sequence[Address], patience_s: float, step_s: float, heartbeat: Heartbeat | None = None) -> None:
    deadline_s = clock.monotonic_s() + patience_s
    while any(_refused(address) for address in wanted) and clock.monotonic_s() < deadline_s:
        if heartbeat is not None:
            heartbeat.beat(clock.monotonic_s())
        time.sleep(step_s)


def _refused(address: Address) -> bool:
    error = address.occupied_by_another()
    return error is not None and error.errno in _IN_THE_WAY


def _in_the_way(wanted: Sequence[Address]) -> list[Obstacle]:
    return [found for address in wanted if (found := obstacle(address)) and found.error.errno in _IN_THE_WAY]


def _told(obstacles: Sequence[Obstacle]) -> str:
    return " ".join(each.text for each in obstacles)


def _record(obstacles: Sequence[Obstacle]) -> None:
    """Keep one open entry, which names everything that is in the way now."""
    try:
        if obstacles:
            _keep_recorded([_recorded(each) for each in obstacles])
        # Whoever writes for no reason may have to wait for others.
        elif event_log.lasts(EVENT):
            event_log.end(EVENT, at=clock.now())
    except DatabaseError as error:
        logger.warning("that a port is taken, or free again, was not recorded: %s", error)
    finally:
        connections.close_all()


def _keep_recorded(obstacles: list[dict[str, str | int]]) -> None:
    # Two may look at once.
    with transaction.atomic():
        present = event_log.open_data(EVENT)
        if present is None or _without_processes(present["obstacles"]) != _without_processes(obstacles):
            event_log.begin_anew(EVENT, at=clock.now(), obstacles=obstacles)


def _recorded(found: Obstacle) -> dict[str, str | int]:
    reason = "" if found.error.errno == errno.EADDRINUSE else found.error.strerror or str(found.error)
    holder = found.holder or Holder(user="", uid=-1)
    return {
        "address": str(found.address),
        "program": holder.program,
        "pid": holder.pid,
        "user": holder.user,
        "reason": reason,
    }


def _without_processes(obstacles: Sequence[Mapping[str, object]]) -> list[dict[str, object]]:
    """Leave out what differs at each look: a server that shares its port among processes is seen as any of them."""
    return [{name: value for name, value in each.items() if name != "pid"} for each in obstacles]


def _announce(data: DataDirectory, addresses: Sequence[Address]) -> None:
    try:
        private_files.write(data.web_ports, json.dumps([str(each) for each in addresses]).encode())
    except OSError as error:
        logger.warning("the ports of the web interface could not be noted: %s", error)


def configured(data: DataDirectory) -> list[Address]:
    """Return where the web interface of this directory listened last, or would listen; empty when nothing tells."""
    try:
        return [Address.parse(each) for each in json.loads(private_files.read(data.web_ports))]
    except (OSError, ValueError, TypeError, AttributeError):
        return list(_of_unit(data))


def _of_unit(data: DataDirectory) -> Iterator[Address]:
    """Read the service of the init system, if it is about this directory."""
    text = ""
    for folder in _UNIT_FOLDERS:
        for file in (folder / _UNIT, *sorted((folder / f"{_UNIT}.d").glob("*.conf"))):
            with suppress(OSError):
                text += file.read_text(errors="replace") + "\n"
    commands = _COMMAND.findall(text)
    if not commands or not re.search(rf"\bSTATION_DATA_DIR={re.escape(str(data.root))}(?![\w/])", text):
        return
    with suppress(ValueError):
        words = shlex.split(commands[-1])
        for flag, value in pairwise(words):
            if flag in _FLAGS:
                with suppress(AddressIsMalformed):
                    yield Address.parse(value)


def is_own(data: DataDirectory, holder: Holder) -> bool:
    """Return whether it is a process of this very station."""
    if holder.pid:
        return holder.title.startswith("station: ") and holder.title.endswith(f" {data.root}")
    # Who may not look into the process sees its user.
    with suppress(OSError):
        return holder.uid == data.root.stat().st_uid and lock.is_used(data)
    return False
