"""Which software is running."""

import platform
from dataclasses import dataclass

# The version of this release; `pyproject.toml` says the same (checked by a test).
RELEASE = "0.1.0"
# BootNotification.firmwareVersion is a CiString50Type (OCPP 1.6 section 6.5).
_LONGEST = 50


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What the page Versions shows."""

    os: str
    client: str
    web: str


def os_version() -> str:
    """Answer the version of the system software that is running now, as the backend hears it."""
    from station.host import updates

    return updates.for_settings().version()[:_LONGEST]


def versions() -> Versions:
    """Answer the versions of all parts; client and web interface are released together."""
    return Versions(os=os_version(), client=RELEASE, web=RELEASE)


def distribution_version() -> str:
    """Answer the version of the operating system's distribution."""
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return platform.release()
    return release.get("VERSION_ID") or release.get("BUILD_ID") or platform.release()
