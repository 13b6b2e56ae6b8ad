"""Mains and power as whole millivolts and milliamperes, so that P = U * I holds exactly for what is reported."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from station.domain.units import MilliAmpere, MilliVolt

PHASES = 3
FREQUENCY_HZ = 50.0
# Open-circuit voltages of the simulated house connection: three phases are never quite alike.
OPEN_CIRCUIT_MV = (230_400, 229_900, 230_200)
# Resistance of the line up to the meter in milliohm, so that 32 A cost 1.6 V.
LINE_RESISTANCE_MOHM = 50
# Steps of the meter's converters: what it shows is what counts, so physics is rounded here and nowhere else.
VOLTAGE_STEP_MV = 100
CURRENT_STEP_MA = 10


@dataclass(frozen=True, kw_only=True)
class Load:
    """What flows through one meter at one moment; tuples are (L1, L2, L3)."""

    voltages_mv: tuple[MilliVolt, ...]
    currents_ma: tuple[MilliAmpere, ...]

    @property
    def phase_powers_w(self) -> tuple[float, ...]:
        """Active power of each phase; the cars of this world have a power factor of one."""
        return tuple(u * i / 1e6 for u, i in zip(self.voltages_mv, self.currents_ma, strict=True))

    @property
    def power_w(self) -> float:
        """Active power of all phases together."""
        return sum(self.phase_powers_w)


def load(*, current_a: float, phases: int, missing_phase: int | None) -> Load:
    """Work out the load when a car takes `current_a` from each of its first `phases` phases.

    `missing_phase` (0..2) has no voltage and therefore carries no current.
    """
    voltages: list[MilliVolt] = []
    currents: list[MilliAmpere] = []
    drawn_ma = round(current_a * 1000 / CURRENT_STEP_MA) * CURRENT_STEP_MA
    for phase in range(PHASES):
        if phase == missing_phase:
            voltages.append(MilliVolt(0))
            currents.append(MilliAmpere(0))
            continue
        milliamperes = drawn_ma if phase < phases else 0
        sagging_mv = OPEN_CIRCUIT_MV[phase] - LINE_RESISTANCE_MOHM * milliamperes / 1000
        voltages.append(MilliVolt(round(sagging_mv / VOLTAGE_STEP_MV) * VOLTAGE_STEP_MV))
        currents.append(MilliAmpere(milliamperes))
    return Load(voltages_mv=tuple(voltages), currents_ma=tuple(currents))


_Quantity = TypeVar("_Quantity", bound=Enum)


def quantities(kind: type[_Quantity], present: Load, *, import_energy_wh: int | None) -> dict[_Quantity, int | None]:
    """Return what a meter measures by the names of its quantities, in the units these are named after."""
    values: dict[str, int | None] = {
        "IMPORT_ENERGY": import_energy_wh,
        "EXPORT_ENERGY": 0,
        "POWER": round(present.power_w),
        "FREQUENCY": round(FREQUENCY_HZ * 1000),
    }
    for phase in range(PHASES):
        values[f"VOLTAGE_L{phase + 1}"] = round(present.voltages_mv[phase])
        values[f"CURRENT_L{phase + 1}"] = round(present.currents_ma[phase])
        values[f"POWER_L{phase + 1}"] = round(present.phase_powers_w[phase])
    return {kind[name]: value for name, value in values.items()}


@dataclass(kw_only=True)
class EnergyCounter:
    """Imported energy of each phase as the integral of its power; it never runs backwards."""

    phases_wh: tuple[float, ...] = (0.0, 0.0, 0.0)

    @property
    def total_wh(self) -> float:
        """The energy register of the meter."""
        return sum(self.phases_wh)

    def count(self, present: Load, *, hours: float) -> float:
        """Add what flows during `hours` and return how many watt-hours that were."""
        added = tuple(power * hours for power in present.phase_powers_w)
        self.phases_wh = tuple(old + new for old, new in zip(self.phases_wh, added, strict=True))
        return sum(added)
