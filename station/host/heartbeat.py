"""How a process tells its supervisor that it works: over shared memory or over systemd's socket."""

import contextlib
import mmap
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

_BYTES_OF_A_MOMENT = 8


class Heartbeat(Protocol):
    """The channel from one process to its supervisor."""

    def beat(self, at_s: float) -> None:
        """Report that this process works at this moment (monotonic seconds). It must cost next to nothing."""

    def serves(self, status: str) -> None:
        """Report that this process does what others need it for; `status` says so in words, for `systemctl status`."""

    def waits(self, status: str) -> None:
        """Report in words what this process waits for before it can serve."""


class UnwatchedHeartbeat:
    """A process that nobody supervises."""

    def beat(self, at_s: float) -> None:
        """Do nothing."""

    def serves(self, status: str) -> None:
        """Do nothing."""

    def waits(self, status: str) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class SharedHeartbeat:
    """The place of one process in the memory it shares with the main process."""

    moments: "memoryview[float]"
    place: int

    def beat(self, at_s: float) -> None:
        """Write the moment down; no system call is made."""
        self.moments[self.place] = at_s

    def serves(self, status: str) -> None:
        """Do nothing: our own supervisor asks /healthz."""

    def waits(self, status: str) -> None:
        """Do nothing: who waits says so in its log."""


class SharedHeartbeats:
    """When each process last said that it works, in memory that every fork of this process shares.

    Not a file: the kernel writes changed pages of a file to the flash twice a minute.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        memory = mmap.mmap(-1, _BYTES_OF_A_MOMENT * max(len(self._places), 1))
        self._moments: memoryview[float] = memoryview(memory).cast("d")

    def of(self, name: str) -> SharedHeartbeat:
        """Return the heartbeat of one process."""
        return SharedHeartbeat(self._moments, self._places[name])

    def last_s(self, name: str) -> float | None:
        """Return the moment of the last beat; None before the first one."""
        return self._moments[self._places[name]] or None

    def forget(self, name: str) -> None:
        """Forget the beats of an earlier process of this name."""
        self._moments[self._places[name]] = 0.0


class SystemdHeartbeat:
    """systemd's notification protocol, sd_notify(3): alive with each beat, ready when somebody says so."""

    def __init__(self, address: str) -> None:
        # A leading @ stands for the zero byte of an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._told = ""
        self._untold = ""

    def beat(self, at_s: float) -> None:
        """Send one datagram. What is lost while systemd is replaced is made up for by the next beat."""
        with contextlib.suppress(OSError):
            self._socket.sendto(f"{self._untold}WATCHDOG=1".encode(), self._address)
            self._untold = ""

    def serves(self, status: str) -> None:
        """Tell it once; it goes with the next beat when it cannot be sent now."""
        self._tell(status, is_ready=True)

    def waits(self, status: str) -> None:
        """Tell it like what the process serves, without saying that it does."""
        self._tell(status, is_ready=False)

    def _tell(self, status: str, *, is_ready: bool) -> None:
        line = " ".join(status.split())
        told = f"READY=1\nSTATUS={line}\n" if is_ready else f"STATUS={line}\n"
        if told == self._told:
            return
        self._told = self._untold = told
        with contextlib.suppress(OSError):
            self._socket.sendto(self._untold.encode(), self._address)
            self._untold = ""


def from_environment(environment: Mapping[str, str] = os.environ) -> Heartbeat:
    """Return systemd's heartbeat if it started this process and expects one."""
    address = environment.get("NOTIFY_SOCKET")
    return SystemdHeartbeat(address) if address else UnwatchedHeartbeat()
