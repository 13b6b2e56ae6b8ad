"""What a station measures for its backend: measurand lists, what they select of a reading, and when to sample.

OCPP 1.6 sections 3.16, 4.7, 7.31 to 7.36 and errata 3.46, 3.78; how a value looks on the wire is not decided here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from station.domain.ports import MeterReading
from station.domain.units import NOMINAL_VOLTAGE_V, MilliAmpere, WattHour

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


class MeasurandUnsupported(ValueError):
    """The list names a measurand this station cannot measure, or does not end; `item` is the one refused."""

    def __init__(self, item: str) -> None:
        super().__init__(f"unsupported measurand: {item!r}")
        self.item = item


class TooManyMeasurands(ValueError):
    """The list has more items than its key with the suffix MaxLength permits."""

    def __init__(self, count: int, max_length: int) -> None:
        super().__init__(f"{count} measurands, at most {max_length} are possible")
        self.count = count
        self.max_length = max_length


def parse_measurands(
    csl: str, max_length: int, supported: frozenset[Measurand] = SUPPORTED
) -> tuple[MeasurandSelection, ...]:
    """Read a measurand list; the empty text is an empty list, repetitions count once.

    `supported` narrows the list for a station whose meters deliver less. Raises MeasurandUnsupported or
    TooManyMeasurands: then the whole change is refused (section 3.16.4).
    """
    if not csl.strip():
        return ()
    items = [item.strip() for item in csl.split(",")]
    if len(items) > max_length:
        raise TooManyMeasurands(len(items), max_length)
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
        raise MeasurandUnsupported(item)
    return MeasurandSelection(measurand=measurand, phase=phase)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One reading of a meter with its moment; `interval_energy` is what flowed since the sample before, if known."""

    at: datetime
    reading: MeterReading
    context: ReadingContext
    offered: MilliAmpere
    interval_energy: WattHour | None = None


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """One measured value: an integer in Wh, W, mA, mV or mHz, as its measurand has it; `phase`: 1 to 3."""

    measurand: Measurand
    value: int
    phase: int | None = None


# What a meter signs here: begins and ends.
SIGNED_CONTEXTS = frozenset({ReadingContext.TRANSACTION_BEGIN, ReadingContext.TRANSACTION_END})


def contexts(csl: str) -> frozenset[ReadingContext]:
    """Read a list of reading contexts as the configuration holds it."""
    return frozenset(ReadingContext(item) for item in csl.split(",") if item)


class KeyPolicy(StrEnum):
    """With which signed values the public key goes (OCA, Signed Meter Values, section 4)."""

    NEVER = "Never"
    ONCE = "OncePerTransaction"
    ALWAYS = "EveryMeterValue"


class SignedDialect(StrEnum):
    """How backends want signed values: the record itself, as the OCA's paper wraps it, or as be.ENERGISED does."""

    RAW = "raw"
    OCA = "oca"
    HTB = "htb"


@dataclass(frozen=True, kw_only=True)
class SignedRecord:
    """What a meter has signed, byte for byte; `encoding` names its format (OCMF, EDL), `public_key` as printed."""

    encoding: str
    data: bytes
    public_key: str = ""


@dataclass(frozen=True, kw_only=True)
class MeterValue:
    """What was selected of one sample, in the order of the list that selected it, and the signed record of it."""

    at: datetime
    context: ReadingContext
    quantities: tuple[Quantity, ...]
    signed: SignedRecord | None = None


def meter_value(sample: Sample, selections: Sequence[MeasurandSelection]) -> MeterValue | None:
    """Select from a sample; None when nothing of the list was measured, for an empty MeterValue is not valid."""
    quantities: dict[tuple[Measurand, int | None], Quantity] = {}
    for selection in selections:
        for phase, value in _measured(sample, selection):
            if value is not None:
                quantity = Quantity(measurand=selection.measurand, value=value, phase=phase)
                quantities.setdefault((selection.measurand, phase), quantity)
    if not quantities:
        return None
    return MeterValue(at=sample.at, context=sample.context, quantities=tuple(quantities.values()))


def _measured(sample: Sample, selection: MeasurandSelection) -> list[tuple[int | None, int | None]]:
    reading = sample.reading
    match selection.measurand:
        case Measurand.ENERGY:
            return [(None, reading.import_energy)]
        case Measurand.ENERGY_INTERVAL:
            return [(None, sample.interval_energy)]
        case Measurand.POWER if selection.phase is None:
            # Section 3.16.3: without a phase all that were measured are told; the sum stands beside them.
            return [(None, reading.power), *enumerate(reading.phase_powers, start=1)]
        case Measurand.POWER_OFFERED:
            return [(None, sample.offered * NOMINAL_VOLTAGE_V * _PHASES // 1000)]
        case Measurand.CURRENT_OFFERED:
            return [(None, sample.offered)]
        case Measurand.FREQUENCY:
            return [(None, reading.frequency)]
        case Measurand.POWER | Measurand.CURRENT | Measurand.VOLTAGE:
            of_phases: dict[Measurand, tuple[int | None, ...]] = {
                Measurand.POWER: reading.phase_powers,
                Measurand.CURRENT: reading.currents,
                Measurand.VOLTAGE: reading.voltages,
            }
            phases = range(1, _PHASES + 1) if selection.phase is None else (selection.phase,)
            return [(phase, of_phases[selection.measurand][phase - 1]) for phase in phases]


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
    steps = (now - origin) // interval + 1
    # Further ahead than an interval the origin lies only when the clock was set back: the grid goes on before it.
    return origin + (steps if steps < 0 else max(steps, 1)) * interval
