"""Who this station is among the others."""

from django.conf import settings as django_settings

from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster import keys, pairing
from loadmgmt.cluster.registration import Station
from station import clock, private_files


def of(settings: ClusterSettings, numbers: tuple[int, ...]) -> Station:
    """Return what the others know of this station."""
    return Station(
        station=settings.station,
        name=settings.name,
        points=numbers,
        rating=settings.rating,
        fallback=settings.fallback,
    )


def own_password() -> str:
    """Return by what the master tells this station from others with its serial number; made at the first question."""
    path = django_settings.DATA.cluster_password
    try:
        found = private_files.read(path).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        found = ""
    if not found:
        found = keys.new_password()
        private_files.write(path, f"{found}\n".encode())
    return found


def ensure_key() -> None:
    """Make the pairing code where there is none."""
    pairing.ensure(clock.now())
