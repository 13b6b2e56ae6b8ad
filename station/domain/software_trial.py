"""When new software is kept: it has to do what the software before it did."""

from dataclasses import dataclass
from enum import StrEnum

from station.domain.firmware import ImageRefused, Version


class Lack(StrEnum):
    """What new software does not do; the worst first."""

    CONTROL = "not_healthy"  # the control loop takes no commands
    READINESS = "not_ready"  # the station cannot charge
    PAGE = "page_silent"  # the web interface does not answer
    BACKEND = "backend_not_accepted"  # the backend has not accepted the station


@dataclass(frozen=True, kw_only=True)
class Health:
    """What the software does at this moment."""

    is_ready: bool
    page_answers: bool
    backend_accepts: bool


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What the software before was able to do. A station that was broken is not made whole by its old software."""

    readiness: bool
    backend: bool

    @classmethod
    def of(cls, before: Health) -> "Expected":
        """Expect what there was before the update; the page is asked for in any case."""
        return cls(readiness=before.is_ready, backend=before.backend_accepts)


def lack(*, takes_commands: bool, health: Health, expected: Expected) -> Lack | None:
    """Return the worst that new software lacks; None: it is kept."""
    if not takes_commands:
        return Lack.CONTROL
    if expected.readiness and not health.is_ready:
        return Lack.READINESS
    if not health.page_answers:
        return Lack.PAGE
    if expected.backend and not health.backend_accepts:
        return Lack.BACKEND
    return None


def is_older(version: str, running: str) -> bool:
    """Return whether a version is older than another; a version that cannot be compared is not."""
    try:
        return Version(version) < Version(running)
    except ImageRefused:
        return False
