"""What an energy manager has set over Modbus (level 3), and what holds while it is silent. Pure: time is an argument.

The limit of a charging point is a lease. Until the energy manager has been heard once, and again whenever it has been
silent for longer than the watchdog allows, the fallback holds; with its next request the point goes back to what was
written last. What was written last outlives a restart, so that a request that only reads never raises a limit.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum

from station.domain.leases import Lease
from station.domain.limits import LimitSource, Rest
from station.domain.units import MINIMUM_CURRENT, NOMINAL_VOLTAGE_V, PAUSE, MilliAmpere, Watt

_PHASES = 3


class LifeSign(StrEnum):
    """What counts as a sign of life: any valid request (some energy managers write only changes), or writes alone."""

    ANY_REQUEST = "any"
    WRITES = "writes"


class Watchdog(IntEnum):
    """The state of the watchdog; the numbers are those of register 3042."""

    OFF = 0
    ALIVE = 1
    EXPIRED = 2


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the installer has set. `watchdog_s` 0: no watchdog, so that what was written last holds for ever."""

    enabled: bool = False
    read_only: bool = False
    watchdog_s: int = 60
    fallback: MilliAmpere = MINIMUM_CURRENT
    life_sign: LifeSign = LifeSign.ANY_REQUEST

    @property
    def limits(self) -> bool:
        """Whether energy managers may limit anything here."""
        return self.enabled and not self.read_only


@dataclass(frozen=True, kw_only=True)
class SetPoint:
    """What was written: a current and a power, None where none holds."""

    current: MilliAmpere | None = None
    power: Watt | None = None

    @property
    def limit(self) -> MilliAmpere | None:
        """The lower of both as a current; a power is spread over three phases, as no car may exceed it then."""
        limits = [] if self.current is None else [self.current]
        if self.power is not None:
            limits.append(MilliAmpere(self.power * 1_000 // (_PHASES * NOMINAL_VOLTAGE_V)))
        return min(limits, default=None)

    def is_below(self, other: "SetPoint") -> bool:
        """Return whether it leaves less than another one."""
        return self.limit is not None and (other.limit is None or self.limit < other.limit)


@dataclass(frozen=True, kw_only=True)
class Control:
    """How one charging point is controlled by an energy manager."""

    settings: Settings
    set_point: SetPoint = field(default_factory=SetPoint)
    lease: Lease = field(default_factory=lambda: Lease(fallback=None))

    def watchdog(self, now_s: float) -> Watchdog:
        """Return the state of the watchdog."""
        if self.settings.watchdog_s == 0:
            return Watchdog.OFF
        return Watchdog.ALIVE if self.lease.is_held(now_s) else Watchdog.EXPIRED

    def limit(self, now_s: float) -> MilliAmpere | None:
        """Return the limit that holds; None: none."""
        return self.lease.limit_at(now_s) if self.settings.limits else None

    def configured(self, settings: Settings) -> "Control":
        """Take other settings; a lease that runs is no longer than the new watchdog allows from its last sign."""
        if settings == self.settings:
            return self
        heard_s = self.lease.until_s - self.settings.watchdog_s if self.settings.watchdog_s else -math.inf
        if not self.settings.limits:
            # Whoever was heard before limits were in force has not been heard.
            heard_s = -math.inf
        until_s = heard_s + settings.watchdog_s if settings.watchdog_s else math.inf
        lease = Lease(fallback=settings.fallback, value=self.set_point.limit, until_s=until_s)
        return replace(self, settings=settings, lease=lease)

    def heard(self, now_s: float, *, written: bool) -> "Control":
        """Take a valid request as a sign of life, if it is one."""
        if not written and self.settings.life_sign is LifeSign.WRITES:
            return self
        if self.settings.watchdog_s == 0:
            return self
        return replace(self, lease=self.lease.renewed(now_s + self.settings.watchdog_s))

    def setting(self, set_point: SetPoint) -> "Control":
        """Take a new set-point."""
        return replace(self, set_point=set_point, lease=self.lease.setting(set_point.limit))


class Controls:
    """The charging points of a station under an energy manager."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._controls = {number: Control(settings=Settings()) for number in numbers}
        self._rests = dict.fromkeys(self._controls, Rest())
        self.settings = Settings()

    def __getitem__(self, number: int) -> Control:
        return self._controls[number]

    def configure(self, settings: Settings) -> None:
        """Take over what the installer has set."""
        self.settings = settings
        self._controls = {number: control.configured(settings) for number, control in self._controls.items()}

    def remember(self, number: int, set_point: SetPoint) -> None:
        """Take over what had been written before a restart; it holds when the energy manager is heard again."""
        if number in self._controls:
            self._controls[number] = self._controls[number].setting(set_point)

    def heard(self, number: int, now_s: float, *, written: bool = False) -> bool:
        """Take a valid request about a point; return whether its limit has changed by that."""
        return self._replace(number, self._controls[number].heard(now_s, written=written), now_s)

    def set(self, number: int, set_point: SetPoint, now_s: float) -> bool:
        """Take a new set-point; return whether the limit has changed by that."""
        return self._replace(number, self._controls[number].setting(set_point), now_s)

    def _replace(self, number: int, control: Control, now_s: float) -> bool:
        before, self._controls[number] = self._controls[number], control
        return before.limit(now_s) != control.limit(now_s)

    def limit(self, number: int, now_s: float) -> MilliAmpere | None:
        """Return the limit that holds at a point, the rest of its contactor heeded; None: none."""
        limit = self._controls[number].limit(now_s)
        if not self.settings.limits:
            # Switched off, nobody can be restless.
            self._rests[number] = replace(self._rests[number], is_paused=False)
            return limit
        rest = self._rests[number] = self._rests[number].following(limit, now_s)
        return PAUSE if rest.is_paused and (limit is None or limit >= MINIMUM_CURRENT) else limit

    def resumes_in_s(self, number: int, now_s: float) -> float:
        """Return how long a pause that nobody wants any more still lasts; 0: there is none."""
        limit = self._controls[number].limit(now_s)
        if not self._rests[number].is_paused or (limit is not None and limit < MINIMUM_CURRENT):
            return 0.0
        return max(self._rests[number].until_s - now_s, 0.0)

    def limits_of(self, number: int, now_s: float) -> Mapping[LimitSource, MilliAmpere]:
        """Return the limit of a point with the source it counts as; empty: none."""
        control = self._controls[number]
        limit = self.limit(number, now_s)
        if limit is None:
            return {}
        alive = control.watchdog(now_s) is not Watchdog.EXPIRED
        return {LimitSource.ENERGY_MANAGER if alive else LimitSource.ENERGY_MANAGER_SILENT: limit}

    def next_change_s(self, now_s: float) -> float | None:
        """Return when a limit next changes because nobody is heard, or a rest is over; None: never."""
        if not self.settings.limits:
            return None
        ends = [control.lease.until_s for control in self._controls.values()]
        ends += [rest.until_s for rest in self._rests.values() if rest.is_paused]
        return min((until_s for until_s in ends if now_s < until_s < math.inf), default=None)
