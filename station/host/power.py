"""Restarting the software and the computer."""

import json
import logging
import os
import signal
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from station import clock, private_files
from station.host.dbus import logind
from station.host.dbus.bus import ServiceRefused
from station.host.ports import Inhibitor
from station.paths import DataDirectory

LOCK_FILE = "station.lock"
REQUEST_FILE = "power.request"
_REBOOT_TIMEOUT_S = 10
logger = logging.getLogger(__name__)


class PowerVerb(StrEnum):
    """What the main process can be asked for."""

    RESTART_SOFTWARE = "restart_software"
    REBOOT = "reboot"


class MainProcessIsAway(RuntimeError):
    """No main process holds this data directory, so nobody can restart anything."""


class RebootIsRefused(RuntimeError):
    """The operating system does not let the station restart the computer."""


def process_start_ticks(pid: int) -> int | None:
    """Read when a process was started, in clock ticks since boot; None when there is none.

    Together with the pid it names one process for good, because pids are used again (proc(5), field 22).
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # Field 3 is the state; a zombie has ended already.
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class MainProcess:
    """The main process of a data directory, according to its lock file."""

    data: DataDirectory

    def pid(self) -> int:
        """Return the verified process id. Raises MainProcessIsAway."""
        try:
            holder = json.loads((self.data.run / LOCK_FILE).read_text())
            pid, started = int(holder["pid"]), int(holder["started"])
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise MainProcessIsAway(str(self.data.root)) from problem
        if process_start_ticks(pid) != started:
            raise MainProcessIsAway(str(self.data.root))
        return pid

    def ask(self, verb: PowerVerb) -> None:
        """Leave a request and wake the main process. Raises MainProcessIsAway."""
        pid = self.pid()
        request = self.data.run / REQUEST_FILE
        draft = request.with_suffix(f".{os.getpid()}")
        draft.write_text(verb.value)
        draft.replace(request)
        os.kill(pid, signal.SIGUSR1)


def take_request(data: DataDirectory) -> PowerVerb | None:
    """Take the waiting request, if there is a readable one."""
    request = data.run / REQUEST_FILE
    try:
        text = request.read_text()
        request.unlink()
        return PowerVerb(text)
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class EmbeddedPower:
    """A station whose processes are all children of one main process; simulated: it plays the computer, too."""

    data: DataDirectory

    def restart_software(self) -> None:
        MainProcess(self.data).ask(PowerVerb.RESTART_SOFTWARE)

    def reboot(self) -> None:
        MainProcess(self.data).ask(PowerVerb.REBOOT)

    def inhibitors(self) -> tuple[Inhibitor, ...]:
        return ()


@dataclass(frozen=True)
class SystemPower:
    """A real station: the init system restarts the computer, and the software when it runs as its services."""

    data: DataDirectory

    def restart_software(self) -> None:
        try:
            MainProcess(self.data).ask(PowerVerb.RESTART_SOFTWARE)
        except MainProcessIsAway:
            _systemctl("restart", "--no-block", "station.target")

    def reboot(self) -> None:
        _note_order(self.data)
        try:
            logind.reboot()
        except ServiceRefused as refusal:
            _ordered(self.data).unlink(missing_ok=True)
            raise RebootIsRefused(str(refusal)) from refusal

    def inhibitors(self) -> tuple[Inhibitor, ...]:
        return logind.inhibitors()


def reboot_was_ordered(data: DataDirectory, *, boot_id: str) -> bool:
    """Return whether the station itself ended that run of the computer; else its power went, or somebody else did."""
    try:
        return _ordered(data).read_text() == boot_id
    except OSError:
        return False


def _note_order(data: DataDirectory) -> None:
    try:
        private_files.write(_ordered(data), clock.boot_id().encode())
    except OSError as problem:
        # A full disk must not keep the computer from restarting.
        logger.warning("it cannot be noted that the computer restarts by order: %s", problem)


def _ordered(data: DataDirectory) -> Path:
    return data.root / "reboot.ordered"


def _systemctl(*verb: str) -> None:
    try:
        # polkit decides whether the station's user may; the rule is in deploy/.
        subprocess.run(  # noqa: S603 - fixed words only
            ["/usr/bin/systemctl", "--no-ask-password", *verb],
            check=True,
            capture_output=True,
            text=True,
            timeout=_REBOOT_TIMEOUT_S,
        )
    except (OSError, subprocess.SubprocessError) as problem:
        detail = getattr(problem, "stderr", "") or str(problem)
        raise RebootIsRefused(detail.strip()) from problem
