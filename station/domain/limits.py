"""The one current limit of a charging point, and which source sets it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

# IEC 61851-1 signals a current in duty cycle steps of this size; everything finer is rounded down.
STEP = MilliAmpere(100)


class LimitSource(StrEnum):
    """Where a limit comes from. Of several equal ones the first here is shown: what a person can change least."""

    FAULT = "fault"
    CABLE = "cable"
    RATING = "rating"
    STATION_MAINS = "station_mains"
    CLUSTER_SILENT = "cluster_silent"
    CLUSTER = "cluster"
    ENERGY_MANAGER_SILENT = "energy_manager_silent"
    ENERGY_MANAGER = "energy_manager"
    UNREADABLE_PROFILE = "unreadable_profile"
    UNTIMED_PROFILE = "untimed_profile"
    CHARGING_PROFILE = "charging_profile"
    LOCAL = "local"


_ORDER = {source: rank for rank, source in enumerate(LimitSource)}


class NoLimit(ValueError):
    """No source limits the point; a charging point without even a rating must not charge."""


@dataclass(frozen=True, kw_only=True)
class EffectiveLimit:
    """What the charging point may offer (0: pause) and the source that sets it."""

    limit: MilliAmpere
    source: LimitSource


def floor_to_step(limit: int) -> MilliAmpere:
    """Round down to a current that can be signalled: tenths of an ampere from 6 A on, else a pause."""
    floored = limit // STEP * STEP
    return PAUSE if floored < MINIMUM_CURRENT else MilliAmpere(floored)


def effective(limits: Mapping[LimitSource, MilliAmpere]) -> EffectiveLimit:
    """Find the least limit and its source; raises NoLimit without any."""
    if not limits:
        raise NoLimit
    source = min(limits, key=lambda source: (limits[source], _ORDER[source]))
    return EffectiveLimit(limit=floor_to_step(limits[source]), source=source)
