"""One main process per data directory or services beside each other, and no orphan of an earlier run in their way.

Whoever works in a data directory holds a lock of its directory `logs` as long as it lives: services a shared one, a
main process the exclusive one. A directory takes no room on a full disk and is never missing; this is one that nobody
else locks (`private_files.exclusive`) or removes.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from station.host.power import LOCK_FILE, process_start_ticks
from station.paths import DataDirectory

_DYING_MAIN_S = 10.0
# Children notice the death of their parent at once; one that takes longer than an orderly end hangs.
_DYING_CHILD_S = 2.0
# Whoever looks whether the directory is used has it for an instant.
_LOOKING_S = 1.0
# A withdrawal of energy ends after that at the latest; whoever is to control waits for it.
WITHDRAWAL_S = 10.0
_KILLED_S = 5.0
_STEP_S = 0.02
# Longer than any note, so that a shorter one leaves nothing of a longer one.
_NOTE_WIDTH = 128


class AlreadyRunning(RuntimeError):
    """A living main process holds the data directory; `pid` is 0 when it cannot be told."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"the station is already running (process {pid})")
        self.pid = pid


class DirectoryIsUsed(RuntimeError):
    """Processes work in the data directory that the caller cannot work beside."""


class IsControlled(RuntimeError):
    """Another process controls the hardware, or withdraws energy where nobody does."""


class OrphanSurvives(RuntimeError):
    """A process of an earlier run does not end, not even when killed."""


@dataclass
class StationLock:
    """The lock of a data directory; held as long as the main process lives, however it ends."""

    data: DataDirectory
    _descriptor: int = field(default=-1, init=False)
    _used: int = field(default=-1, init=False)

    @property
    def path(self) -> Path:
        """Where the lock is."""
        return self.data.run / LOCK_FILE

    def acquire(self) -> None:
        """Take the lock, waiting for a predecessor that is on its way out. Raises AlreadyRunning, DirectoryIsUsed."""
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline_s = time.monotonic() + _DYING_MAIN_S
        while not self._try():
            pid, is_stopping = self._holder()
            if not is_stopping or time.monotonic() > deadline_s:
                os.close(self._descriptor)
                raise AlreadyRunning(pid)
            time.sleep(_STEP_S)
        try:
            # The children do not inherit it: the supervisor closes it in each of them.
            self._used = _use(self.data, fcntl.LOCK_EX)
        except DirectoryIsUsed:
            os.close(self._descriptor)
            raise
        self._write(is_stopping=False)

    def announce_stop(self) -> None:
        """Tell a successor that waiting is worthwhile."""
        self._write(is_stopping=True)

    def _try(self) -> bool:
        return _try(self._descriptor, fcntl.LOCK_EX)

    def _holder(self) -> tuple[int, bool]:
        try:
            holder = json.loads(self.path.read_text())
            pid, is_stopping = int(holder["pid"]), bool(holder["stopping"])
            # The kernel is about to release the lock of a process that has ended.
            return pid, is_stopping or process_start_ticks(pid) != int(holder["started"])
        except (OSError, ValueError, KeyError, TypeError):
            # The holder is between taking the lock and writing its name.
            return 0, True

    def _write(self, *, is_stopping: bool) -> None:
        pid = os.getpid()
        content = json.dumps({"pid": pid, "started": process_start_ticks(pid), "stopping": is_stopping})
        # Only a disk that is full when the directory is new has no room; the lock holds without the name of its holder.
        with suppress(OSError):
            _overwrite(self._descriptor, content)


def share(data: DataDirectory, *, survives_exec: bool) -> None:
    """Work in the directory beside other services until this process ends. Raises DirectoryIsUsed.

    `survives_exec`: this process becomes another program, which goes on holding the lock.
    """
    os.set_inheritable(_use(data, fcntl.LOCK_SH), survives_exec)


def control(data: DataDirectory) -> None:
    """Let nobody else control the hardware until this process ends; waits for a withdrawal of energy.

    Raises IsControlled, and OSError where the lock cannot be made.
    """
    if not _take_in_time(_open_controlled(data), fcntl.LOCK_EX, WITHDRAWAL_S + _LOOKING_S):
        raise IsControlled(str(data.root))


@contextmanager
def uncontrolled(data: DataDirectory) -> Iterator[None]:
    """Let nobody begin to control the hardware meanwhile. Raises IsControlled.

    A process that is forked meanwhile keeps others from it, too, for as long as it lives.
    """
    # Whoever controls is not waited for: it lasts.
    if is_controlled(data):
        raise IsControlled(str(data.root))
    try:
        descriptor = _open_controlled(data)
    except OSError:
        # Nobody can make the lock, so nobody can control.
        yield
        return
    if not _take_in_time(descriptor, fcntl.LOCK_EX, _LOOKING_S):
        raise IsControlled(str(data.root))
    try:
        yield
    finally:
        os.close(descriptor)


def is_controlled(data: DataDirectory) -> bool:
    """Return whether somebody controls the hardware now, or withdraws energy."""
    # A shared lock: of two that look at the same moment, none takes the other for a control.
    return _is_locked(data.controlled, os.O_RDONLY, fcntl.LOCK_SH)


@contextmanager
def alone(data: DataDirectory) -> Iterator[None]:
    """Let nobody begin to work in the directory meanwhile. Raises DirectoryIsUsed."""
    descriptor = _use(data, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def is_used(data: DataDirectory) -> bool:
    """Return whether a process works in the directory now."""
    return _is_locked(data.logs, os.O_RDONLY | os.O_DIRECTORY, fcntl.LOCK_EX)


def _is_locked(place: Path, flags: int, kind: int) -> bool:
    try:
        descriptor = os.open(place, flags | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try(descriptor, kind)
    finally:
        os.close(descriptor)


def _use(data: DataDirectory, kind: int) -> int:
    descriptor = _open(data)
    if not _take_in_time(descriptor, kind, _LOOKING_S):
        raise DirectoryIsUsed(str(data.root))
    return descriptor


def _take_in_time(descriptor: int, kind: int, patience_s: float) -> bool:
    """Take a lock that somebody may have for a while; return whether it was to be had; closed where not."""
    deadline_s = time.monotonic() + patience_s
    while not _try(descriptor, kind):
        if time.monotonic() > deadline_s:
            os.close(descriptor)
            return False
        time.sleep(_STEP_S)
    return True


def _open(data: DataDirectory) -> int:
    return os.open(data.logs, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _open_controlled(data: DataDirectory) -> int:
    # A directory would not do: each is locked for a moment by somebody who waits for it, and this lock lasts.
    return os.open(data.controlled, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def overwrite(place: Path, text: str) -> None:
    """Write a short note in place: what has its room on the disk already can be written when the disk is full."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _overwrite(descriptor, text)
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int, text: str) -> None:
    os.pwrite(descriptor, text.ljust(_NOTE_WIDTH).encode(), 0)


def end_orphans(data: DataDirectory) -> list[str]:
    """End what is left of an earlier run in this directory; return the names. Raises OrphanSurvives."""
    orphans = {note: pid for note in sorted(data.run.glob("*.pid")) if (pid := _living(note))}
    if not _gone(orphans, _DYING_CHILD_S, signal.SIGTERM) and not _gone(orphans, _KILLED_S, signal.SIGKILL):
        raise OrphanSurvives(", ".join(note.stem for note in orphans if _living(note)))
    for note in data.run.glob("*.pid"):
        note.unlink(missing_ok=True)
    return [note.stem for note in orphans]


def _living(note: Path) -> int | None:
    try:
        pid, _, started = note.read_text().partition(" ")
        return int(pid) if process_start_ticks(int(pid)) == int(started) else None
    except (OSError, ValueError):
        return None


def _gone(orphans: dict[Path, int], patience_s: float, number: signal.Signals) -> bool:
    for note, pid in orphans.items():
        if _living(note) == pid:
            os.kill(pid, number)
    deadline_s = time.monotonic() + patience_s
    while any(_living(note) for note in orphans):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_STEP_S)
    return True
