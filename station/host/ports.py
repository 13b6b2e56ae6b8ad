"""What the station asks of the computer it runs on, one interface per subject."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class ModemStatus:
    """What the modem says; `signal` in percent, None while it has no network."""

    signal: int | None
    iccid: str
    imsi: str
    operator: str


class NetworkPort(Protocol):
    """The network interfaces."""

    def addresses(self) -> tuple[str, ...]:
        """List the addresses others can reach the station at, in a steady order."""

    def uplink_up(self) -> bool:
        """Tell whether there is a way out to the backend; cheap enough to be asked 20 times a second."""


class ModemPort(Protocol):
    """The mobile modem."""

    def status(self) -> ModemStatus | None:
        """Ask the modem; None when there is none."""


class ClockPort(Protocol):
    """The computer's wall clock."""

    def is_trustworthy(self) -> bool:
        """Tell whether the wall clock shows the time: synchronised, or set by the backend since the start."""

    def set_from_backend(self, at: datetime) -> bool:
        """Take over the backend's time (an aware moment); answers whether the clock was changed."""


class PowerPort(Protocol):
    """Restarting."""

    def restart_software(self) -> None:
        """Restart the station's processes in order. Raises MainProcessIsAway or RebootIsRefused."""

    def reboot(self) -> None:
        """Restart the whole computer, controllers' volatile state included. Raises like `restart_software`."""
