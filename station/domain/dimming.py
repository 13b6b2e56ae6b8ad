"""The grid operator's dimming (§ 14a EnWG): when it holds, how much current it leaves, and what is kept of it.

A control box closes or opens a contact; while it is active everything behind it together may draw the set power, and
never less than lets one car charge. Moments in seconds are those of one monotonic clock.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from station.domain.allocation import phase_rotations, supply_phases
from station.domain.ports import MOST_PHASES
from station.domain.units import MINIMUM_CURRENT, MilliAmpere, Watt

# Currents are shared out, watts are what the law speaks of: between them stands the nominal voltage of the grid.
NOMINAL_V = 230
DEFAULT_POWER = Watt(4_200)
# All readings of so long a time have to agree: a contact that bounces is not taken for a change.
DEBOUNCE_S = 0.4
# The module is read twice a second. What was read last holds for so long without a further reading.
SILENT_AFTER_S = 2.0
# A station that stood still itself did not ask the module. More than this is not forgiven: its readings are too old.
MOST_FORGIVEN_S = 10.0
_MA_PER_A = 1_000


class ActiveWhen(StrEnum):
    """Which position of the contact means that the grid operator dims."""

    CLOSED = "closed"
    OPEN = "open"


class WhenSilent(StrEnum):
    """What counts while nobody knows the position of the contact."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class Cause(StrEnum):
    """Why an intervention has begun or ended: the contact, its module that is not heard, or a setting."""

    CONTACT = "contact"
    SILENT = "silent"
    SETTINGS = "settings"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the installer has set. `phases`: of the charging point that needs most of them."""

    enabled: bool = False
    power: Watt = DEFAULT_POWER
    active_when: ActiveWhen = ActiveWhen.CLOSED
    when_silent: WhenSilent = WhenSilent.ACTIVE
    phases: int = MOST_PHASES

    @property
    def total(self) -> MilliAmpere:
        """What may be drawn on all phases together; it always lets one car charge."""
        return max(total_of(self.power), MilliAmpere(self.phases * MINIMUM_CURRENT))


def total_of(power: Watt) -> MilliAmpere:
    """Return the current of a power at the nominal voltage, summed over the phases."""
    return MilliAmpere(power * _MA_PER_A // NOMINAL_V)


def least_power(phases: int) -> Watt:
    """Return what one car needs at a charging point with so many phases."""
    return Watt(phases * MINIMUM_CURRENT * NOMINAL_V // _MA_PER_A)


def phases_of(rotation: str, connected: Mapping[int, int], connectors: int) -> int:
    """Return how many phases the charging point counts on that counts on most; `rotation`: ConnectorPhaseRotation.

    `connected`: by how many phases a charging point is connected to the mains; one that is not named by three.
    """
    rotations = phase_rotations(rotation)
    return max(
        len(supply_phases(rotations.get(number, ""), connected.get(number, MOST_PHASES)))
        for number in range(1, connectors + 1)
    )


@dataclass(frozen=True, kw_only=True)
class Contact:
    """What is known of the contact. `closed`: its position, debounced; None: not known yet.

    `seen` is the newest reading, which has been the same since `seen_since_s`. `forgiven_s`: for how long nobody could
    ask since then.
    """

    closed: bool | None = None
    seen: bool | None = None
    seen_since_s: float = -math.inf
    read_at_s: float = -math.inf
    forgiven_s: float = 0.0

    def stood_still(self, from_s: float, until_s: float) -> "Contact":
        """Leave a time out in which nobody could ask: neither silence nor agreement of readings is concluded of it."""
        spare_s = min(until_s - max(from_s, self.read_at_s), MOST_FORGIVEN_S - self.forgiven_s)
        if spare_s <= 0 or from_s - self.read_at_s > SILENT_AFTER_S:
            return self
        return replace(
            self,
            seen_since_s=self.seen_since_s + spare_s,
            read_at_s=self.read_at_s + spare_s,
            forgiven_s=self.forgiven_s + spare_s,
        )

    def read(self, *, closed: bool, at_s: float) -> "Contact":
        """Take a reading."""
        known = self.position(at_s)
        goes_on = self.seen is closed and at_s - self.read_at_s <= SILENT_AFTER_S
        since_s = self.seen_since_s if goes_on else at_s
        return replace(
            self,
            closed=closed if at_s - since_s >= DEBOUNCE_S else known,
            seen=closed,
            seen_since_s=since_s,
            read_at_s=at_s,
            forgiven_s=0.0,
        )

    def is_in_doubt(self, now_s: float) -> bool:
        """Return whether the newest reading is not the position yet: it is to be read again soon."""
        return now_s - self.read_at_s <= SILENT_AFTER_S and self.seen is not self.position(now_s)

    def position(self, now_s: float) -> bool | None:
        """Return whether the contact is closed; None: nobody knows, or not any more."""
        return self.closed if now_s - self.read_at_s <= SILENT_AFTER_S else None

    def falls_silent_s(self, now_s: float) -> float | None:
        """Return the moment from which on the position is not known without a further reading; None: it is not now."""
        return self.read_at_s + SILENT_AFTER_S if self.position(now_s) is not None else None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Whether the grid operator dims now, and by what that is known."""

    active: bool
    cause: Cause


def judge(settings: Settings, position: bool | None) -> Judgement:  # noqa: FBT001 - the position is the argument
    """Return what a position of the contact means; None: it is not known."""
    if not settings.enabled:
        return Judgement(active=False, cause=Cause.SETTINGS)
    if position is None:
        return Judgement(active=settings.when_silent is WhenSilent.ACTIVE, cause=Cause.SILENT)
    return Judgement(active=position is (settings.active_when is ActiveWhen.CLOSED), cause=Cause.CONTACT)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What was drawn during an intervention; None: nothing was measured yet.

    `greatest_w` is that of the whole time, `greatest_carried_out_w` the one from the moment on at which the reduction
    was carried out. The mean comes from `watt_ms` in `measured_ms`.
    """

    greatest_w: Watt | None = None
    greatest_carried_out_w: Watt | None = None
    watt_ms: int = 0
    measured_ms: int = 0

    def measured(self, power: Watt, *, for_ms: int, is_carried_out_now: bool) -> "Drawn":
        """Take that this power was drawn for so long."""
        return Drawn(
            greatest_w=_greater(self.greatest_w, power),
            greatest_carried_out_w=_greater(self.greatest_carried_out_w, power)
            if is_carried_out_now
            else self.greatest_carried_out_w,
            watt_ms=self.watt_ms + power * for_ms,
            measured_ms=self.measured_ms + for_ms,
        )

    @property
    def mean_w(self) -> Watt | None:
        """The mean power."""
        return Watt(round(self.watt_ms / self.measured_ms)) if self.measured_ms else None


def _greater(before: Watt | None, now: Watt) -> Watt:
    return now if before is None else max(before, now)


def is_carried_out(settings: Settings, power: Watt, current_sum: MilliAmpere) -> bool:
    """Return whether what is drawn is within what the grid operator leaves.

    A car at its least current draws more than the set power where the voltage is above the nominal one.
    """
    return power <= settings.power or current_sum <= settings.total
