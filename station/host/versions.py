"""Which software is running."""

import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from station.host import updates
from station.host.ports import Slot
from station.host.release import RELEASE, distribution_name

# BootNotification.firmwareVersion is a CiString50Type (OCPP 1.6 section 6.5).
_LONGEST = 50


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What the page Versions shows."""

    os: str
    client: str
    web: str
    distribution: str
    kernel: str
    python: str
    machine: str


def os_version() -> str:
    """Return the version of the system software that is running now, as the backend is told."""
    return updates.for_settings().version()[:_LONGEST]


def versions() -> Versions:
    """Return the versions of all parts; client and web interface are released together."""
    return Versions(
        os=os_version(),
        client=RELEASE,
        web=RELEASE,
        distribution=distribution_name(),
        kernel=platform.release(),
        python=platform.python_version(),
        machine=platform.machine(),
    )


def slots() -> tuple[Slot, ...]:
    """List the places for system software of this computer."""
    return updates.for_settings().slots()


def largest_image(folder: Path) -> int:
    """Return how many bytes an image may have that is brought to a folder, for the room there is."""
    return updates.for_settings().largest_image(max(0, shutil.disk_usage(folder).free))


def updates_unavailable() -> str:
    """Return why no software can be installed on this computer, as a code; empty: it can."""
    return updates.for_settings().unavailable()
