"""The energy register of a meter, which never falls: what does is noise, until it is known to be another meter."""

from station.domain.ports import DeviceGarbled
from station.domain.units import WattHour


class EnergyRegister:
    """The highest count that was read of one meter."""

    def __init__(self) -> None:
        self._highest: WattHour | None = None

    def forget(self) -> None:
        """Begin anew: another meter, or one that was replaced, starts from its own register."""
        self._highest = None

    def judge(self, told: int | None) -> WattHour:
        """Return what was told; DeviceGarbled when it fell, or nothing was told."""
        if told is None or told < 0:
            raise DeviceGarbled(f"import energy of {told} Wh")
        if self._highest is not None and told < self._highest:
            raise DeviceGarbled(f"import energy fell from {self._highest} Wh to {told} Wh")
        self._highest = WattHour(told)
        return self._highest
