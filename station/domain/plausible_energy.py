"""Whether an energy register can be true: bounded by rating and time, never falling, of one meter per session.

A register that cannot be true is no base for a bill. Whoever reads a meter keeps the last register that was plausible
and compares with that: a single wrong answer is over with the next right one, a lasting one stays refused.
"""

from dataclasses import dataclass
from enum import StrEnum

from station.domain.units import NOMINAL_VOLTAGE_V, MilliAmpere, WattHour

_PHASES = 3
# EN 50160 allows 10 % more than the nominal voltage, and a car may draw 120 % of its limit for 10 s until it is faulted
# (`station.domain.supervision`); what is more than both together is no measurement.
_TOLERANCE_PERCENT = 135
# Meters count in steps of up to 10 Wh, and the moment of an answer is not quite that of the measurement.
_MARGIN_WH = 50
_MA_S_PER_AH = 3_600_000


class Plausibility(StrEnum):
    """What a register is worth."""

    PLAUSIBLE = "plausible"
    JUMPED = "jumped"  # more energy than the point can have delivered in this time
    FELL = "fell"  # an energy register only rises
    OTHER_METER = "other_meter"  # registers of two meters cannot be subtracted


@dataclass(frozen=True, kw_only=True)
class Register:
    """An energy register, when it was read (monotonic seconds) and on which meter (empty: it does not say)."""

    energy: WattHour
    read_at_s: float
    meter_serial: str = ""


def highest_rise(rating: MilliAmpere, elapsed_s: float) -> WattHour:
    """Return what a register may have risen by in this time at a point of this rating, on all three phases."""
    delivered = rating * NOMINAL_VOLTAGE_V * _PHASES * _TOLERANCE_PERCENT * max(elapsed_s, 0.0) / 100 / _MA_S_PER_AH
    return WattHour(int(delivered) + _MARGIN_WH)


def judge(before: Register | None, after: Register, *, rating: MilliAmpere) -> Plausibility:
    """Compare a register with the last plausible one of the same session; None: there is none yet."""
    if before is None:
        return Plausibility.PLAUSIBLE
    if before.meter_serial and after.meter_serial and before.meter_serial != after.meter_serial:
        return Plausibility.OTHER_METER
    if after.energy < before.energy:
        return Plausibility.FELL
    if after.energy - before.energy > highest_rise(rating, after.read_at_s - before.read_at_s):
        return Plausibility.JUMPED
    return Plausibility.PLAUSIBLE
