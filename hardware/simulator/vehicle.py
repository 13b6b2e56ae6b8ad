"""A car: on-board charger, readiness, state of charge, and how quickly it follows the pilot."""

from dataclasses import dataclass

MINIMUM_CURRENT_A = 6.0
# IEC 61851-1 table A.6 allows 5 s to follow a change and 3 s to end after PWM stops. These cars are quick: 32 A are
# reached within 0.5 s and given up within 0.2 s.
RISE_A_PER_S = 64.0
FALL_A_PER_S = 160.0
# From this state of charge on, the battery takes less and less, down to the given share of the charger's limit.
TAPER_FROM = 0.9
TAPER_TO_SHARE = 0.2


@dataclass(kw_only=True)
class Vehicle:
    """A car at the end of the cable.

    `battery_wh`: capacity of its battery, which is empty when the car arrives; None: it never gets full.
    """

    max_current_a: float = 32.0
    phases: int = 3
    ready: bool = True
    battery_wh: float | None = None
    charged_wh: float = 0.0
    current_a: float = 0.0

    @property
    def state_of_charge(self) -> float | None:
        """Share of the battery that is filled, or None without a battery size."""
        return None if self.battery_wh is None else min(1.0, self.charged_wh / self.battery_wh)

    @property
    def wants_energy(self) -> bool:
        """Whether the car would close its contact to state C when the pilot signals a permitted current."""
        return self.ready and (self.battery_wh is None or self.charged_wh < self.battery_wh)

    @property
    def room_wh(self) -> float | None:
        """Energy the battery still takes, None without end."""
        return None if self.battery_wh is None else max(0.0, self.battery_wh - self.charged_wh)

    def target_a(self, offered_a: float) -> float:
        """Return the current the car aims for when `offered_a` is signalled (0: no PWM)."""
        if not self.wants_energy or offered_a < MINIMUM_CURRENT_A:
            return 0.0
        return min(offered_a, self.max_current_a * self._taper())

    def follow(self, offered_a: float, *, seconds: float) -> None:
        """Move the drawn current towards its target, as far as the car gets in `seconds`."""
        target = self.target_a(offered_a)
        if self.current_a < target:
            self.current_a = min(target, self.current_a + RISE_A_PER_S * seconds)
        else:
            self.current_a = max(target, self.current_a - FALL_A_PER_S * seconds)

    def _taper(self) -> float:
        filled = self.state_of_charge
        if filled is None or filled <= TAPER_FROM:
            return 1.0
        return 1.0 - (1.0 - TAPER_TO_SHARE) * (filled - TAPER_FROM) / (1.0 - TAPER_FROM)
