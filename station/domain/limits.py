"""The one current limit of a charging point, and which source sets it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

# IEC 61851-1 signals a current in duty cycle steps of this size; everything finer is rounded down.
STEP = MilliAmpere(100)
# A pause ends at once, but not twice in this time: each end closes the contactor, and a restless energy manager or
# backend, or two that contradict each other, would wear it out within a day.
RESUME_SPAN_S = 60.0


class LimitSource(StrEnum):
    """Where a limit comes from. Of several equal ones the first here is shown: what a person can change least."""

    FAULT = "fault"
    CABLE = "cable"
    RATING = "rating"
    STATION_MAINS = "station_mains"
    GRID_OPERATOR = "grid_operator"
    CLUSTER_SILENT = "cluster_silent"
    CLUSTER = "cluster"
    ENERGY_MANAGER_SILENT = "energy_manager_silent"
    ENERGY_MANAGER = "energy_manager"
    UNREADABLE_PROFILE = "unreadable_profile"
    UNTIMED_PROFILE = "untimed_profile"
    CHARGING_PROFILE = "charging_profile"
    LOCAL = "local"
    CONTACTOR_REST = "contactor_rest"


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


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Whether a charging point is paused, and the earliest moment at which its pause may end."""

    is_paused: bool = False
    until_s: float = -math.inf

    def following(self, limit: MilliAmpere | None, now_s: float) -> "Rest":
        """Go on to the limit that is to hold now."""
        if limit is not None and limit < MINIMUM_CURRENT:
            return self if self.is_paused else replace(self, is_paused=True)
        if self.is_paused and now_s >= self.until_s:
            return Rest(until_s=now_s + RESUME_SPAN_S)
        return self

    def is_due(self, now_s: float) -> bool:
        """Return whether the pause has to go on, whoever would end it."""
        return self.is_paused and now_s < self.until_s
