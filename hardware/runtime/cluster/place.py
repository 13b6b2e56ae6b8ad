"""Who this station is among the others."""

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings as django_settings

from hardware.runtime.cluster_shares import ClusterSettings
from loadmgmt.cluster import keys, pairing
from loadmgmt.cluster.registration import Station
from station import clock, private_files
from station.domain.configuration import ConfigurationRefused

logger = logging.getLogger(__name__)

_EPOCH_BYTES = 12


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One time of leading; `predecessor`: the one before on this station, None: it has never led."""

    name: str
    predecessor: str | None


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
    found = _read(path)
    if not found:
        found = keys.new_password()
        private_files.write(path, f"{found}\n".encode())
    return found


def next_epoch() -> Epoch:
    """Return the name under which this station begins to lead, kept before anybody is led under it."""
    path = django_settings.DATA.cluster_epoch
    epoch = Epoch(name=secrets.token_urlsafe(_EPOCH_BYTES), predecessor=_read(path) or None)
    try:
        private_files.write(path, f"{epoch.name}\n".encode())
    except OSError:
        # The next start only waits longer, as if another station had led meanwhile.
        logger.warning("the name of the epoch could not be kept", exc_info=True)
    return epoch


def other_master(cluster: str) -> str:
    """Return which station was found to lead this cluster, though this one is set to lead it; empty: none."""
    name, _, station = _read(django_settings.DATA.cluster_other_master).partition(" ")
    return station if name == cluster else ""


def note_other_master(cluster: str, station: str) -> None:
    """Keep it over restarts: that it is not heard any more need not mean that it leads no more. Empty: none."""
    path = django_settings.DATA.cluster_other_master
    try:
        if station:
            private_files.write(path, f"{cluster} {station}\n".encode())
        else:
            path.unlink(missing_ok=True)
    except OSError:
        # It holds until this process ends.
        logger.warning("that station %r leads the cluster could not be kept", station, exc_info=True)


def _read(path: Path) -> str:
    try:
        return private_files.read(path).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def ensure_key() -> None:
    """Make the pairing code where there is none; settings that contradict one another refuse it, and nobody leads."""
    try:
        pairing.ensure(clock.now())
    except ConfigurationRefused as refusal:
        # Asked again every few seconds; pages show that the code is missing.
        logger.debug("no pairing code could be made: %s", refusal)
