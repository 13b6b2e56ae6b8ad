"""What the connection to the backend needs from other parts of the station; the process that wires it hands them in."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from station.domain.commands import Command, Outcome
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot
from station.services.messages import MessageToControlLoop


class LocalList(Protocol):
    """The local authorization list (OCPP 1.6 section 5.15). Called in the database thread."""

    def version(self) -> int:
        """Return the version of the backend's list; 0 when it is empty."""

    def apply(self, version: int, update_type: str, entries: Sequence[dict[str, Any]], at: datetime) -> str:
        """Take a list, all or nothing; return an OCPP UpdateStatus."""

    def contains(self, id_tag: str) -> bool:
        """Return whether the card stands in the list: such cards never enter the cache (section 3.5.3)."""


class ClockPort(Protocol):
    """The computer's clock."""

    def set_from_backend(self, at: datetime) -> bool:
        """Take the backend's time if it is worth taking; return whether the clock was moved."""


class Uplink(Protocol):
    """The network towards the backend. `simulated`: it can be cut on the bench, so it is worth watching closely."""

    simulated: bool

    def is_up(self) -> bool: ...


class OwedStatus(Protocol):
    """A status message of a file job that is owed to the backend."""

    @property
    def job_id(self) -> int: ...
    @property
    def status(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def payload(self) -> dict[str, Any]: ...


class FileJobs(Protocol):
    """Long jobs with files: they answer at once and go on elsewhere. Called in the database thread."""

    def submit_diagnostics(self, request: dict[str, Any], at: datetime) -> str | None:
        """Begin a diagnostics upload; return the file name, None when there is nothing to upload."""

    def submit_firmware(self, request: dict[str, Any], at: datetime) -> None: ...

    def submit_signed_firmware(self, request: dict[str, Any], at: datetime) -> str:
        """Return an UpdateFirmwareStatus of the security whitepaper."""

    def submit_log(self, request: dict[str, Any], at: datetime) -> tuple[str, str | None]:
        """Return a LogStatus and the file name."""

    def untold(self, at: datetime) -> Sequence["OwedStatus"]:
        """List the statuses the backend has not got yet, in order."""

    def mark_told(self, job_id: int, status: str) -> bool:
        """Note that the backend has got a status."""

    def last_status(self, kind: str) -> dict[str, Any]:
        """Return the payload for a triggered status message; `kind`: diagnostics, log, firmware, signed_firmware."""


@dataclass(frozen=True, kw_only=True)
class StationFacts:
    """What BootNotification says beside the identity; empty fields are not sent."""

    firmware_version: str = ""
    iccid: str = ""
    imsi: str = ""


class Facts(Protocol):
    """The source of those facts. Called in the database thread."""

    def read(self) -> StationFacts: ...


class ControlLoop(Protocol):
    """The control loop in its process, reached over Redis: every call survives its absence."""

    def submit(self, command: Command, *, actor: str, at: datetime, wait_s: float) -> Awaitable[Outcome]:
        """Hand a command of the backend to the control loop and wait for its answer."""

    def inform(self, message: MessageToControlLoop) -> Awaitable[None]:
        """Send the control loop a message."""


class LiveSnapshots(Protocol):
    """The latest snapshots of what moves, in Redis, which may be away."""

    def publish(self, snapshot: BackendSnapshot) -> Awaitable[bool]:
        """Publish the live part `backend`."""

    def hardware(self) -> Awaitable[HardwareSnapshot | None]:
        """Read the live part `hardware`; None when the control loop is away."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything the link is given."""

    control_loop: ControlLoop
    snapshots: LiveSnapshots
    local_list: LocalList
    clock: ClockPort
    uplink: Uplink
    file_jobs: FileJobs
    facts: Facts
