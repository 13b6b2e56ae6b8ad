"""What the station asks of the computer it runs on, one interface per subject."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from station.domain.mobile import ModemStatus
from station.domain.network import NetworkSettings
from station.domain.vendor_access import Door


@dataclass(frozen=True, kw_only=True)
class ExternalInterface:
    """The interface to the site's network: what it is set to, and what is in force at this moment.

    Addresses are written with their prefix. `raw_methods` are the service's own words for what the page does not offer.
    `shared_lacks` names the program without which the station cannot give out addresses; empty when nothing is missing.
    """

    name: str
    mac: str
    has_link: bool
    settings: NetworkSettings
    addresses: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    raw_methods: tuple[str, ...] = ()
    shared_lacks: str = ""


class NetworkUnavailable(RuntimeError):
    """The network of this computer cannot be set here; the text says why, `reason` is a code."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or reason)
        self.reason, self.detail = reason, detail


class TrialIsOver(RuntimeError):
    """The change is not on trial any more: the old settings are back, or on their way."""


class NetworkPort(Protocol):
    """The network interfaces.

    A change goes in steps: `prepare` checks it and says what it is called, `activate` puts it in force, `keep` makes it
    permanent. Without `keep` it is taken back after the time, whatever becomes of the station's processes. All of them
    raise NetworkUnavailable.
    """

    def addresses(self) -> tuple[str, ...]:
        """List the addresses others can reach the station at, in a steady order."""

    def uplink_up(self) -> bool:
        """Return whether there is a route to the backend; cheap enough to be asked 20 times a second."""

    def external(self) -> ExternalInterface:
        """Return the interface to the site's network."""

    def prepare(self, settings: NetworkSettings, *, taken_back_after_s: int) -> str:
        """Begin a trial and return its name; nothing changes on the wire yet."""

    def activate(self) -> None:
        """Put what was prepared in force; where there is no link, it comes into force with it."""

    def is_on_trial(self, trial: str) -> bool:
        """Return whether a trial still runs."""

    def keep(self, trial: str) -> None:
        """Make the change permanent. Raises TrialIsOver."""

    def take_back(self, trial: str) -> None:
        """Put the old settings back at once. Raises TrialIsOver."""

    def restore(self, settings: NetworkSettings) -> None:
        """Set these for good, without a trial: for a trial whose end has not brought the old ones back."""


class ModemPort(Protocol):
    """The mobile modem, as it was seen last."""

    def status(self) -> ModemStatus | None:
        """Return what the modem said some seconds ago; None when there is none. Never waits."""


@dataclass(frozen=True, kw_only=True, repr=False)
class MobileProfile:
    """How the station goes into the mobile network; with an empty `apn` the card's own operator decides.

    `modes`: generations of the network that may be used, empty for all.
    """

    apn: str = ""
    authentication: str = "chap"
    user: str = ""
    password: str = ""
    modes: str = ""


class MobilePort(Protocol):
    """The mobile modem and the connection over it, for people. Everything raises `ServiceRefused`."""

    def examine(self, *, often: bool = False) -> ModemStatus | None:
        """Ask the modem now; None when there is none. `often`: it is asked every second, and shall measure as often."""

    def apply(self, profile: MobileProfile) -> bool:
        """Bring the connection into line with the profile; return whether anything was different."""

    def unlock(self, pin: str) -> bool:
        """Send the PIN, which costs a try when it is wrong; return whether it was right."""


@dataclass(frozen=True, kw_only=True)
class TimeStatus:
    """What the computer says of its time. `server`: the one it listens to; `heard_at`: when it said the time last."""

    zone: str
    ntp_on: bool
    is_synchronised: bool
    server: str = ""
    servers: tuple[str, ...] = ()
    heard_at: datetime | None = None


class TimePort(Protocol):
    """Time zone, time service and clock of the computer, for people. Everything raises `ServiceRefused`."""

    @property
    def can_be_set(self) -> bool:
        """Whether the clock is the station's to set."""

    def examine(self) -> TimeStatus:
        """Ask now."""

    def set_zone(self, name: str) -> None: ...
    def use_ntp(self, *, on: bool) -> None: ...

    def set_time(self, at: datetime) -> None:
        """Set the clock, once; a time service that is on goes on afterwards."""


class ClockPort(Protocol):
    """The computer's wall clock."""

    def is_trustworthy(self) -> bool:
        """Return whether the wall clock shows the time: synchronised, or set by the backend since the start."""

    def has_been_right(self) -> bool:
        """Return whether the wall clock tells a time that was right once since the computer started.

        A time service that has not been reached for hours is no longer trusted to the second, but schedules go on.
        """

    def set_from_backend(self, at: datetime) -> bool:
        """Take over the backend's time (an aware moment); return whether the clock was changed."""


class VendorAccessPort(Protocol):
    """The vendor's ways into the computer. Both methods raise `dbus.bus.ServiceRefused` where there is none."""

    def is_open(self, door: Door) -> bool:
        """Return whether somebody of the vendor could come in now."""

    def switch(self, door: Door, *, is_open: bool) -> None:
        """Open or close it; closing ends who is in."""


@dataclass(frozen=True, kw_only=True)
class Inhibitor:
    """A program that does not want the computer to restart now."""

    who: str
    why: str


class PowerPort(Protocol):
    """Restarting."""

    def restart_software(self) -> None:
        """Restart the station's processes in order. Raises MainProcessIsAway or RebootIsRefused."""

    def reboot(self) -> None:
        """Restart the whole computer, controllers' volatile state included. Raises like `restart_software`."""

    def inhibitors(self) -> tuple[Inhibitor, ...]:
        """Return the programs that keep the computer from restarting now. Raises ServiceRefused."""


class InstallationResult(StrEnum):
    """What became of an installation."""

    PENDING = "pending"  # switched, but the computer has not been restarted since
    RUNNING = "running"  # the new software runs
    NOT_RUNNING = "not_running"  # the old one does


@dataclass(frozen=True, kw_only=True)
class Slot:
    """A place for system software; `version` empty: nothing that could start. `starts_next`: used by the next start.

    `bootname`: what the boot loader calls it.
    """

    name: str
    version: str
    is_running: bool
    starts_next: bool
    bootname: str = ""


class UpdatePort(Protocol):
    """Installs new system software. `ticket` identifies one installation for good."""

    def unavailable(self) -> str:
        """Return why no software can be installed on this computer, as a code of `ImageRefused`; empty: it can."""

    def version(self) -> str:
        """Return the version that runs now."""

    def slots(self) -> tuple[Slot, ...]:
        """List the places for system software; none where this computer has no second one."""

    def largest_image(self, free: int) -> int:
        """Return how many bytes an image may have that is brought to a disk with so many free ones."""

    def check(self, image: Path, *, needs_signature: bool) -> str:
        """Return the version of an image this computer may install; raises `ImageRefused`.

        The maker's signature is always checked where there is one; without `needs_signature` there need not be one.
        """

    def install(self, image: Path, *, ticket: str, needs_signature: bool, progress: Callable[[int], None]) -> None:
        """Write the image for the next start of the computer; once per ticket, even if interrupted and repeated.

        `progress` is told how many percent are done.

        Raises `ImageRefused` or OSError; the running software is untouched and starts the next time, too.
        """

    def result(self, ticket: str, /) -> InstallationResult:
        """Return what became of an installation."""

    def gave_up(self) -> str:
        """Return why the computer has given new software up by itself, as a code; empty: it told nothing."""

    def lost(self) -> str:
        """Return, once, the version that was kept and that the computer no longer starts; empty: all is as it was."""

    def confirm(self) -> None:
        """Keep the software that runs now: it was seen to work. Raises `ImageRefused` when it cannot be kept."""

    def undo(self) -> None:
        """Let the next start of the computer use the software that runs now, or ran before if this one is on trial.

        Until that start software on trial stays RUNNING; calling this again does no harm.
        """
