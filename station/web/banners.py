"""What stands above every page for as long as it lasts."""

from dataclasses import dataclass
from datetime import timedelta

from station import clock
from station.domain.roles import Role
from station.services import vendor_access as service
from station.ui import format as formats
from station.ui import words
from station.web import access


@dataclass(frozen=True, kw_only=True)
class VendorAccessBanner:
    """Which access is open, for how long, and whether this reader may close it."""

    doors: str
    left: str
    may_end: bool


def vendor_access(role: Role) -> VendorAccessBanner | None:
    """Return the banner; None while all accesses of the vendor are closed."""
    left = service.left(clock.stamp())
    if not left:
        return None
    return VendorAccessBanner(
        doors=", ".join(words.word(words.DOORS, door) for door in left),
        left=formats.hours_and_minutes(max(left.values()) // timedelta(minutes=1)),
        may_end=access.may(role, "vendor-access-end", "POST"),
    )
