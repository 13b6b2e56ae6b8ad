"""What a station measures for its backend: measurand lists, sampled values on the wire, and when to sample.

OCPP 1.6 sections 3.16, 4.7, 7.31 to 7.36, 7.45 and errata 3.14, 3.46, 3.78, 3.86, 3.91.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from station.domain.moments import to_wire
from station.domain.ports import MeterReading
from station.domain.units import NOMINAL_VOLTAGE_V, MilliAmpere, WattHour

_T = TypeVar("_T")

_DAY = timedelta(days=1)
_PHASES = 3


class Measurand(StrEnum):
    """The measurands of OCPP 1.6 (section 7.31) this station can measure."""

    ENERGY = "Energy.Active.Import.Register"
    ENERGY_INTERVAL = "Energy.Active.Import.Interval"
    POWER = "Power.Active.Import"
    POWER_OFFERED = "Power.Offered"
    CURRENT = "Current.Import"
    CURRENT_OFFERED = "Current.Offered"
    VOLTAGE = "Voltage"
    FREQUENCY = "Frequency"


# An AC station takes no energy back from the car: export measurands would announce a register that never moves.
SUPPORTED = frozenset(Measurand)
_PER_PHASE = frozenset({Measurand.POWER, Measurand.CURRENT, Measurand.VOLTAGE})
# Section 7.45 has no unit for a frequency, and errata 3.86 says that it is Hertz without one.
_UNITS = {
    Measurand.ENERGY: "Wh",
    Measurand.ENERGY_INTERVAL: "Wh",
    Measurand.POWER: "W",
    Measurand.POWER_OFFERED: "W",
    Measurand.CURRENT: "A",
    Measurand.CURRENT_OFFERED: "A",
    Measurand.VOLTAGE: "V",
}
_MEASURANDS = {measurand.value.casefold(): measurand for measurand in Measurand}


class ReadingContext(StrEnum):
    """OCPP 1.6 section 7.33."""

    SAMPLE_PERIODIC = "Sample.Periodic"
    SAMPLE_CLOCK = "Sample.Clock"
    TRANSACTION_BEGIN = "Transaction.Begin"
    TRANSACTION_END = "Transaction.End"
    TRIGGER = "Trigger"
    INTERRUPTION_BEGIN = "Interruption.Begin"
    INTERRUPTION_END = "Interruption.End"
    OTHER = "Other"


@dataclass(frozen=True, kw_only=True)
class MeasurandSelection:
    """One item of a measurand list: a measurand, or one phase (1 to 3) of it."""

    measurand: Measurand
    phase: int | None = None

    def __str__(self) -> str:
        """Write the normal form of the item."""
        return self.measurand.value if self.phase is None else f"{self.measurand.value}.L{self.phase}"


class UnsupportedMeasurandError(ValueError):
    """The list names a measurand this station cannot measure, or does not end; `item` is the one refused."""

    def __init__(self, item: str) -> None:
        super().__init__(f"unsupported measurand: {item!r}")
        self.item = item


class TooManyMeasurandsError(ValueError):
    """The list has more items than its key with the suffix MaxLength permits."""

    def __init__(self, count: int, max_length: int) -> None:
        super().__init__(f"{count} measurands, at most {max_length} are possible")
        self.count = count
        self.max_length = max_length


def parse_measurands(
    csl: str, max_length: int, supported: frozenset[Measurand] = SUPPORTED
) -> tuple[MeasurandSelection, ...]:
    """Read a measurand list; the empty text is an empty list, repetitions count once.

    `supported` narrows the list for a station whose meters deliver less. Raises UnsupportedMeasurandError or
    TooManyMeasurandsError: then the whole change is refused (section 3.16.4).
    """
    if not csl.strip():
        return ()
    items = [item.strip() for item in csl.split(",")]
    if len(items) > max_length:
        raise TooManyMeasurandsError(len(items), max_length)
    return tuple(dict.fromkeys(_parse_item(item, supported) for item in items))


def normal_form(selections: Sequence[MeasurandSelection]) -> str:
    """Write a measurand list the way GetConfiguration shows it."""
    return ",".join(str(selection) for selection in selections)


def _parse_item(item: str, supported: frozenset[Measurand]) -> MeasurandSelection:
    name = item.casefold()
    phase = None
    measurand = _MEASURANDS.get(name)
    for number in range(1, _PHASES + 1):
        for suffix in (f".l{number}", f".l{number}-n"):
            if name.endswith(suffix):
                measurand, phase = _MEASURANDS.get(name.removesuffix(suffix)), number
    neutral = name.endswith("-n")
    if (
        measurand is None
        or measurand not in supported
        or (phase is not None and measurand not in _PER_PHASE)
        or (neutral and measurand is not Measurand.VOLTAGE)
    ):
        raise UnsupportedMeasurandError(item)
    return MeasurandSelection(measurand=measurand, phase=phase)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One reading of a meter with its moment; `interval_energy` is what flowed since the sample before, if known."""

    at: datetime
    reading: MeterReading
    context: ReadingContext
    offered: MilliAmpere
    interval_energy: WattHour | None = None


def sampled_values(sample: Sample, selections: Sequence[MeasurandSelection]) -> list[dict[str, str]]:
    """Write the sampledValue list of one MeterValue.

    What the meter did not deliver is left out. An empty list is no valid MeterValue: the caller sends nothing then.
    """
    values: dict[tuple[Measurand, int | None], str] = {}
    for selection in selections:
        for phase, text in _measure(sample, selection):
            values.setdefault((selection.measurand, phase), text)
    return [_sampled_value(sample.context, *key, text) for key, text in values.items()]


def meter_value(sample: Sample, selections: Sequence[MeasurandSelection]) -> dict[str, Any] | None:
    """Write one MeterValue; None when nothing of the list was measured."""
    values = sampled_values(sample, selections)
    if not values:
        return None
    return {"timestamp": to_wire(sample.at), "sampledValue": values}


def _measure(sample: Sample, selection: MeasurandSelection) -> list[tuple[int | None, str]]:
    reading = sample.reading
    phases = range(1, _PHASES + 1) if selection.phase is None else (selection.phase,)
    found: list[tuple[int | None, str | None]]
    match selection.measurand:
        case Measurand.ENERGY:
            found = [(None, str(reading.import_energy))]
        case Measurand.ENERGY_INTERVAL:
            found = [(None, _whole(sample.interval_energy))]
        case Measurand.POWER if selection.phase is None:
            found = [(None, _whole(reading.power))]
        case Measurand.POWER:
            found = [(phase, _whole(reading.phase_powers[phase - 1])) for phase in phases]
        case Measurand.POWER_OFFERED:
            found = [(None, str(sample.offered * NOMINAL_VOLTAGE_V * _PHASES // 1000))]
        case Measurand.CURRENT:
            found = [(phase, _thousandths(reading.currents[phase - 1])) for phase in phases]
        case Measurand.CURRENT_OFFERED:
            found = [(None, _thousandths(sample.offered))]
        case Measurand.VOLTAGE:
            found = [(phase, _thousandths(reading.voltages[phase - 1])) for phase in phases]
        case Measurand.FREQUENCY:
            found = [(None, _thousandths(reading.frequency))]
    return [(phase, text) for phase, text in found if text is not None]


def _sampled_value(context: ReadingContext, measurand: Measurand, phase: int | None, text: str) -> dict[str, str]:
    value = {"value": text, "context": context.value, "format": "Raw", "measurand": measurand.value}
    if phase is not None:
        value["phase"] = f"L{phase}-N" if measurand is Measurand.VOLTAGE else f"L{phase}"
    value["location"] = "Outlet"
    if measurand in _UNITS:
        value["unit"] = _UNITS[measurand]
    return value


def _whole(value: int | None) -> str | None:
    return None if value is None else str(value)


def _thousandths(value: int | None) -> str | None:
    if value is None:
        return None
    sign = "-" if value < 0 else ""
    whole, thousandths = divmod(abs(value), 1000)
    digits = f"{thousandths:03d}".rstrip("0")
    return f"{sign}{whole}.{digits or '0'}"


def next_aligned(now: datetime, interval_s: int) -> datetime | None:
    """Find the next moment of the clock-aligned grid after `now`; None when the interval is 0 (off).

    The grid begins anew at every midnight UTC (section 9.1.5 leaves the zone open). A station that slept asks once and
    gets one moment: missed ones are not made up for.
    """
    if interval_s <= 0:
        return None
    now = now.astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return min(_next_on_grid(midnight, now, interval_s), midnight + _DAY)


def next_sampled(transaction_start: datetime, now: datetime, interval_s: int) -> datetime | None:
    """Find the next sampling moment of a transaction after `now`; None when the interval is 0 (off).

    The grid is that of the transaction's start, whatever restarts the station's timers.
    """
    if interval_s <= 0:
        return None
    return _next_on_grid(transaction_start, now, interval_s)


def _next_on_grid(origin: datetime, now: datetime, interval_s: int) -> datetime:
    interval = timedelta(seconds=interval_s)
    return origin + max((now - origin) // interval + 1, 1) * interval


def transaction_data(
    begin: Sample | None,
    samples: Sequence[Sample],
    end: Sample | None,
    *,
    sampled: Sequence[MeasurandSelection],
    aligned: Sequence[MeasurandSelection],
    max_values: int | None = None,
) -> list[dict[str, Any]]:
    """Write the transactionData of a StopTransaction.req; empty when StopTxnSampledData and -AlignedData are.

    `begin` and `end` are the readings at start and stop of the transaction; they bring every measurand of both lists
    with the contexts Transaction.Begin and Transaction.End (errata 3.14) and are never dropped. With more than
    `max_values` MeterValues every second one in between goes, until they fit (errata 3.91).
    """
    both = tuple(dict.fromkeys((*sampled, *aligned)))
    lists = {ReadingContext.SAMPLE_PERIODIC: sampled, ReadingContext.SAMPLE_CLOCK: aligned}
    first = meter_value(_in_context(begin, ReadingContext.TRANSACTION_BEGIN), both) if begin else None
    last = meter_value(_in_context(end, ReadingContext.TRANSACTION_END), both) if end else None
    ends = (first is not None) + (last is not None)
    between = [value for sample in samples if (value := meter_value(sample, lists.get(sample.context, ()))) is not None]
    if max_values is not None:
        between = thinned(between, max_values - ends)
    return [*([first] if first else []), *between, *([last] if last else [])]


def thinned(values: list[_T], most: int) -> list[_T]:
    """Drop every second value until at most so many are left (errata 3.91)."""
    while values and len(values) > most:
        values = values[1::2]
    return values


def _in_context(sample: Sample, context: ReadingContext) -> Sample:
    return Sample(at=sample.at, reading=sample.reading, context=context, offered=sample.offered)
