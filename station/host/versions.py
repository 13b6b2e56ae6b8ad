"""Which software is running."""

from dataclasses import dataclass

from station.host import updates
from station.host.release import RELEASE

# BootNotification.firmwareVersion is a CiString50Type (OCPP 1.6 section 6.5).
_LONGEST = 50


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What the page Versions shows."""

    os: str
    client: str
    web: str


def os_version() -> str:
    """Return the version of the system software that is running now, as the backend is told."""
    return updates.for_settings().version()[:_LONGEST]


def versions() -> Versions:
    """Return the versions of all parts; client and web interface are released together."""
    return Versions(os=os_version(), client=RELEASE, web=RELEASE)
