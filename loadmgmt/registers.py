"""The register table of the Modbus server: what each register says, and what writing it means. Pure.

Registers 100 to 1000 are those of the Bender/ebee controllers from firmware 5.22 on, so that energy managers which
know these work unchanged; 3000 and above are our own. `docs/modbus.md` and the web page are made from this table.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import Enum, StrEnum
from functools import cache

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from loadmgmt.energy_manager import SetPoint, Settings, Watchdog
from station.domain.faults import CATALOGUE, FaultCode
from station.domain.limits import LimitSource
from station.domain.snapshot import ClusterSnapshot, PointSnapshot
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

COMPATIBLE_FIRMWARE = "5.22"
MAP_VERSION = 1
# What clients find here decides how they go on; a read that begins at one of these is refused (exception 2):
# state of charge of the car, limits in other units, switching of phases.
NOT_OFFERED = frozenset({730, 1001, 1002, 3053})
# IEC 61851-1, table A.8: no higher current can be signalled.
HIGHEST_CURRENT_A = 80
WATCHDOG_S = (5, 3600)
_MA_PER_A, _MA_PER_STEP = 1_000, 100
_WORD = 0xFFFF

Value = int | str | None


class Unit(Enum):
    """Whose registers these are: one charging point's, or the station's (unit identifier 200)."""

    POINT = "point"
    STATION = "station"


class Kind(StrEnum):
    """How a value stands in registers of 16 bits, high byte and high word first."""

    U16 = "u16"
    U32 = "u32"
    U64 = "u64"
    TEXT = "ASCII"
    TEXT_RIGHT = "ASCII, padded with blanks at the left"
    MASK = "u32, low byte first"


# The others are the same in every language.
KIND_WORDS: "Mapping[Kind, str | Promise]" = {
    Kind.TEXT_RIGHT: _("ASCII, padded with blanks at the left"),
    Kind.MASK: _("u32, low byte first"),
}


class Write(StrEnum):
    """What writing a register changes."""

    CURRENT_A = "current_a"
    CURRENT = "current"
    POWER = "power"
    WATCHDOG = "watchdog"
    FALLBACK_A = "fallback_a"
    FALLBACK = "fallback"
    LIFE_SIGN = "life_sign"
    HEARTBEAT = "heartbeat"


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything a request can ask for, taken at one moment. `point` is None where the station itself is asked."""

    at: datetime
    zone: tzinfo
    uptime_s: int
    firmware: str
    model: str
    serial: str
    mains: MilliAmpere
    mains_ceiling: MilliAmpere
    settings: Settings
    points: tuple[PointSnapshot, ...]
    point: PointSnapshot | None = None
    has_meter: bool = True
    set_point: SetPoint = field(default_factory=SetPoint)
    limit: MilliAmpere | None = None
    watchdog: Watchdog = Watchdog.OFF
    remaining_s: int = 0
    cluster: ClusterSnapshot | None = None

    @property
    def led(self) -> ClusterSnapshot | None:
        """The cluster whose master this station is, if it leads one now."""
        return self.cluster if self.cluster is not None and self.cluster.state == "leading" else None

    @property
    def asked(self) -> PointSnapshot:
        """The charging point that is asked about."""
        if self.point is None:
            raise LookupError("the station itself is asked")
        return self.point


@dataclass(frozen=True, kw_only=True)
class Register:
    """One value of the table. Without `read` it can only be written, without `write` only read."""

    address: int
    words: int
    kind: Kind
    meaning: "str | Promise"
    unit: str = ""
    read: Callable[[View], Value] | None = None
    write: Write | None = None

    @property
    def access(self) -> str:
        """R, W or RW."""
        return ("R" if self.read else "") + ("W" if self.write else "")

    def encode(self, view: View) -> tuple[int, ...]:
        """Return the words of the present value; all ones while it is not known, zeros where it cannot be read."""
        if self.read is None:
            return (0,) * self.words
        value = self.read(view)
        if value is None:
            return (_WORD,) * self.words
        match self.kind, value:
            case ((Kind.TEXT | Kind.TEXT_RIGHT), str()):
                size = 2 * self.words
                text = value.encode("ascii", "replace")[:size]
                raw = text.ljust(size, b"\0") if self.kind is Kind.TEXT else text.rjust(size, b" ")
            case Kind.MASK, int():
                raw = value.to_bytes(4, "little").ljust(2 * self.words, b"\0")
            case _, int():
                raw = min(max(value, 0), (1 << 16 * self.words) - 1).to_bytes(2 * self.words, "big")
            case _:
                raise TypeError(value)
        return tuple(int.from_bytes(raw[at : at + 2], "big") for at in range(0, len(raw), 2))


# --- what the registers say

# OCPP 1.6 section 7.7, numbered as the Bender table does.
STATUSES = {
    "Available": 0,
    "Reserved": 2,
    "Unavailable": 3,
    "Faulted": 4,
    "Preparing": 5,
    "Charging": 6,
    "SuspendedEVSE": 7,
    "SuspendedEV": 8,
    "Finishing": 9,
}
PILOTS = {"A": 1, "B": 2, "C": 3, "D": 4, "E": 5, "F": 5}
# Bits 0 to 23 are Bender's; 24 to 27 are free there.
ERROR_BITS: Mapping[FaultCode, int] = {
    FaultCode.GROUND_FAILURE: 0,
    FaultCode.EV_COMMUNICATION_ERROR: 1,
    FaultCode.POWER_SWITCH_FAILURE: 6,
    FaultCode.WEAK_SIGNAL: 7,
    FaultCode.CONNECTOR_LOCK_FAILURE: 8,
    FaultCode.EVSE_COMMUNICATION_ERROR: 14,
    FaultCode.OVER_CURRENT_FAILURE: 15,
    FaultCode.UNDER_VOLTAGE: 21,
    FaultCode.POWER_METER_FAILURE: 24,
    FaultCode.READER_FAILURE: 25,
    FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE: 26,
    FaultCode.REGULATORY_COMPLIANCE_FAILURE: 27,
}
ERROR_NUMBERS: Mapping[FaultCode, int] = {
    code: number
    for number, code in enumerate(
        (
            FaultCode.GROUND_FAILURE,
            FaultCode.EVSE_COMMUNICATION_ERROR,
            FaultCode.EV_COMMUNICATION_ERROR,
            FaultCode.POWER_SWITCH_FAILURE,
            FaultCode.OVER_CURRENT_FAILURE,
            FaultCode.CONNECTOR_LOCK_FAILURE,
            FaultCode.POWER_METER_FAILURE,
            FaultCode.HIGH_TEMPERATURE,
            FaultCode.OVER_VOLTAGE,
            FaultCode.INTERNAL_ERROR,
            FaultCode.OTHER_ERROR,
            FaultCode.REGULATORY_COMPLIANCE_FAILURE,
            FaultCode.UNDER_VOLTAGE,
            FaultCode.OVER_VOLTAGE_PROTECTION_FAILURE,
            FaultCode.READER_FAILURE,
            FaultCode.WEAK_SIGNAL,
            FaultCode.LOCAL_LIST_CONFLICT,
            FaultCode.RESET_FAILURE,
            FaultCode.INPUT_MODULE_FAILURE,
            FaultCode.DATABASE_REPLACED,
        ),
        start=1,
    )
}
LIMIT_SOURCES: Mapping[LimitSource, int] = {
    LimitSource.CABLE: 0,
    LimitSource.RATING: 1,
    LimitSource.STATION_MAINS: 2,
    LimitSource.CLUSTER: 3,
    LimitSource.ENERGY_MANAGER: 4,
    LimitSource.CHARGING_PROFILE: 5,
    LimitSource.UNREADABLE_PROFILE: 5,
    LimitSource.UNTIMED_PROFILE: 5,
    LimitSource.ENERGY_MANAGER_SILENT: 6,
    LimitSource.CLUSTER_SILENT: 6,
    LimitSource.FAULT: 8,
    LimitSource.LOCAL: 9,
    LimitSource.CONTACTOR_REST: 9,
    LimitSource.GRID_OPERATOR: 10,
}
_FAULT_CODES = frozenset(code.value for code in FaultCode)
_NOT_FROM_OUTSIDE = frozenset({LimitSource.ENERGY_MANAGER.value, LimitSource.ENERGY_MANAGER_SILENT.value})


def _faults(point: PointSnapshot) -> list[FaultCode]:
    return [FaultCode(code) for code in point.faults if code in _FAULT_CODES]


def _error_mask(view: View) -> int:
    return sum(1 << bit for bit in {ERROR_BITS[code] for code in _faults(view.asked) if code in ERROR_BITS})


def error_number(point: PointSnapshot) -> int:
    """Return the number of the fault to be told first; 0: none."""
    codes = sorted(_faults(point), key=lambda code: (not CATALOGUE[code].faulted, ERROR_NUMBERS[code]))
    return ERROR_NUMBERS[codes[0]] if codes else 0


def _error_field(view: View) -> int:
    return sum(1 << ERROR_NUMBERS[code] - 1 for code in set(_faults(view.asked)))


def _ampere(current: int | None) -> int | None:
    return None if current is None else current // _MA_PER_A


def _tenths(current: int | None) -> int | None:
    return None if current is None else current // _MA_PER_STEP


def _whole(value: bool | None, number: int = 1) -> int | None:  # noqa: FBT001 - the value itself
    return None if value is None else number * value


def _pilot_letter(view: View) -> int | None:
    number = PILOTS.get(view.asked.pilot or "")
    return None if number is None else number + 9


def _metered(view: View, value: int | None) -> int | None:
    """Return 0 while a meter that is there has not been read: energy managers take "unknown" for "no meter"."""
    return 0 if value is None and view.has_meter else value


def _phase(values: Callable[[PointSnapshot], Sequence[int | None]], phase: int, divisor: int = 1) -> "_Read":
    def read(view: View) -> int | None:
        value = _metered(view, values(view.asked)[phase])
        return None if value is None else max(value, 0) // divisor

    return read


def _only_total(value: Callable[[PointSnapshot], int | None], phase: int) -> "_Read":
    """Return a value that exists as a total alone: it stands at the first phase."""
    return lambda view: _metered(view, value(view.asked)) if phase == 0 else None


def _session_energy(view: View) -> int:
    session = view.asked.session or view.asked.last_session
    return session.energy_wh if session else 0


def _session_s(view: View) -> int:
    point = view.asked
    if point.session:
        return int((view.at - point.session.started_at).total_seconds())
    return (
        int((point.last_session.ended_at - point.last_session.started_at).total_seconds()) if point.last_session else 0
    )


def _clock(moment: datetime | None, zone: tzinfo) -> int:
    """Return hours, minutes and seconds as decimal digits, as the table wants them."""
    return int(moment.astimezone(zone).strftime("%H%M%S"), 16) if moment else 0


def _started(view: View) -> int:
    session = view.asked.session or view.asked.last_session
    return _clock(session.started_at if session else None, view.zone)


def _ended(view: View) -> int:
    point = view.asked
    return _clock(point.last_session.ended_at if point.last_session and not point.session else None, view.zone)


def _others_limit(view: View) -> int | None:
    """Return what everybody else leaves the point."""
    limits = [value for source, value in view.asked.limits.items() if source not in _NOT_FROM_OUTSIDE]
    return _ampere(min(limits, default=None))


def _limiting(view: View) -> int | None:
    source = view.asked.limit_source
    return LIMIT_SOURCES[LimitSource(source)] if source else None


def _signalled(view: View) -> int | None:
    return _ampere(view.asked.offered_ma)


def _set_current(view: View) -> MilliAmpere:
    """Return what was written, or what holds in its place: nothing written yet means what the point is made for."""
    if view.watchdog is not Watchdog.EXPIRED and view.set_point.current is not None:
        return view.set_point.current
    return view.limit if view.limit is not None else MilliAmpere(view.asked.limits.get("rating", 0))


_Read = Callable[[View], Value]
_U16, _U32 = Kind.U16, Kind.U32


def _one(
    address: int, meaning: "str | Promise", read: _Read | None, unit: str = "", *, write: Write | None = None
) -> Register:
    return Register(address=address, words=1, kind=_U16, meaning=meaning, unit=unit, read=read, write=write)


def _two(
    address: int, meaning: "str | Promise", read: _Read, unit: str = "", *, write: Write | None = None
) -> Register:
    return Register(address=address, words=2, kind=_U32, meaning=meaning, unit=unit, read=read, write=write)


def _text(address: int, words: int, meaning: "str | Promise", read: _Read, kind: Kind = Kind.TEXT) -> Register:
    return Register(address=address, words=words, kind=kind, meaning=meaning, read=read)


def _per_phase(first: int, meaning: "str | Promise", unit: str, read: Callable[[int], _Read]) -> tuple[Register, ...]:
    return tuple(_two(first + 2 * phase, _named(meaning, f"L{phase + 1}"), read(phase), unit) for phase in range(3))


def _named(meaning: "str | Promise", name: str) -> "Promise":
    # Translators: the meaning of a Modbus register and the phase or charging point it is about
    return _Named(meaning, name)  # type: ignore[return-value]


class _Named:
    """A translated text with a name behind it."""

    def __init__(self, meaning: "str | Promise", name: str) -> None:
        self._meaning, self._name = meaning, name

    def __str__(self) -> str:
        return f"{self._meaning} {self._name}"


# What a point and the station have in common.
_COMMON = (
    _text(3000, 16, _("Firmware of the station"), lambda view: view.firmware),
    _text(3016, 16, _("Serial number of the station"), lambda view: view.serial),
    _one(3032, _("Version of this register table"), lambda _view: MAP_VERSION),
    _one(3033, _("Number of charging points"), lambda view: len(view.points)),
    _two(3035, _("Time since the start of the control"), lambda view: view.uptime_s, "s"),
    _one(3037, _("Life counter: one up each second"), lambda view: view.uptime_s & _WORD),
    _one(
        3040,
        _("Watchdog: longest silence of the energy manager; 0: off, else 5 to 3600"),
        lambda view: view.settings.watchdog_s,
        "s",
        write=Write.WATCHDOG,
    ),
    _one(
        3041,
        _("Fallback while the energy manager is silent; 0: pause, else from 6 A"),
        lambda view: _tenths(view.settings.fallback),
        "0.1 A",
        write=Write.FALLBACK,
    ),
    _one(
        3042, _("State of the watchdog: 0 off, 1 heard, 2 silent, the fallback holds"), lambda view: view.watchdog.value
    ),
    _one(3043, _("Time until the fallback holds"), lambda view: view.remaining_s, "s"),
    _one(3044, _("Sign of life: write any value"), None, write=Write.HEARTBEAT),
    _one(
        3045,
        _("What counts as a sign of life: 0 any request, 1 only writes"),
        lambda view: view.settings.life_sign != "any",
        write=Write.LIFE_SIGN,
    ),
)

_POINT = (
    _text(100, 2, _("Firmware that this table is compatible with"), lambda _view: COMPATIBLE_FIRMWARE),
    _one(
        104,
        _(
            "OCPP status: 0 Available, 2 Reserved, 3 Unavailable, 4 Faulted, 5 Preparing, 6 Charging, 7 SuspendedEVSE, "
            "8 SuspendedEV, 9 Finishing"
        ),
        lambda view: STATUSES.get(view.asked.status),
    ),
    *(_two(address, _("Error bits 32 to 127: none"), lambda _view: 0) for address in (105, 107, 109)),
    Register(address=111, words=2, kind=Kind.MASK, meaning=_("Error bits 0 to 31 (see below)"), read=_error_mask),
    _text(120, 2, _("Version of the protocol"), lambda _view: "0.9c"),
    _one(122, _("Control pilot: 1 A, 2 B, 3 C, 4 D, 5 E or F"), lambda view: PILOTS.get(view.asked.pilot or "")),
    _one(123, _("Control pilot as a hexadecimal letter"), _pilot_letter),
    _one(124, _("In service: 1 yes, 0 no"), lambda view: int(view.asked.operative)),
    _one(130, _("Offset of register addresses"), lambda _view: 0),
    _one(
        131,
        _("Fallback while the energy manager is silent; 0: pause, else from 6 A"),
        lambda view: _ampere(view.settings.fallback),
        "A",
        write=Write.FALLBACK_A,
    ),
    _one(
        132,
        _("Watchdog: longest silence of the energy manager; 0: off, else 5 to 3600"),
        lambda view: view.settings.watchdog_s,
        "s",
        write=Write.WATCHDOG,
    ),
    _one(134, _("Lowest limit of all others (operator, station, cable)"), _others_limit, "A"),
    _one(140, _("Contactor: 0 open, 1 closed"), lambda view: _whole(view.asked.contactor)),
    _text(142, 10, _("Model"), lambda view: view.model),
    _one(152, _("Plug lock: 1 locked, 0 unlocked"), lambda view: _whole(view.asked.locked)),
    *_per_phase(
        200, _("Energy (the total stands at L1)"), "Wh", lambda phase: _only_total(lambda point: point.energy_wh, phase)
    ),
    *_per_phase(206, _("Power"), "W", lambda phase: _phase(lambda point: point.phase_powers_w, phase)),
    *_per_phase(212, _("Current"), "mA", lambda phase: _phase(lambda point: point.currents_ma, phase)),
    _two(218, _("Energy, total"), lambda view: _metered(view, view.asked.energy_wh), "Wh"),
    _two(220, _("Power, total"), lambda view: _metered(view, view.asked.power_w), "W"),
    *_per_phase(222, _("Voltage"), "V", lambda phase: _phase(lambda point: point.voltages_mv, phase, 1_000)),
    _one(705, _("Energy of the session, at most 65,535"), _session_energy, "Wh"),
    _one(706, _("Current signalled to the car"), _signalled, "A"),
    _two(707, _("Begin of the session, hhmmss as decimal digits"), _started),
    _one(709, _("Duration of the session, at most 65,535"), _session_s, "s"),
    _two(710, _("End of the session, hhmmss as decimal digits"), _ended),
    _one(712, _("Lowest current that can be signalled"), lambda _view: _ampere(MINIMUM_CURRENT), "A"),
    _one(715, _("Highest current of the cable; 0: not known"), lambda view: _ampere(view.asked.cable_ma or 0), "A"),
    _two(716, _("Energy of the session"), _session_energy, "Wh"),
    _two(718, _("Duration of the session"), _session_s, "s"),
    _text(
        720,
        10,
        _("Card of the session; blanks: none, or not disclosed"),
        lambda view: view.asked.session.id_tag if view.asked.session else "",
        Kind.TEXT_RIGHT,
    ),
    _one(740, _("Car with ISO 15118: 0 no"), lambda _view: 0),
    _text(741, 6, _("Identifier of a car with ISO 15118: none"), lambda _view: ""),
    _one(
        1000,
        _("Limit of the energy manager; 0 to 5: pause"),
        lambda view: _ampere(_set_current(view)),
        "A",
        write=Write.CURRENT_A,
    ),
    _one(3034, _("Number of this charging point"), lambda view: view.asked.number),
    _one(
        3050,
        _("Limit of the energy manager in fine steps (the same value as 1000)"),
        lambda view: _tenths(_set_current(view)),
        "0.1 A",
        write=Write.CURRENT,
    ),
    _two(
        3051,
        _("Limit of the energy manager as power over three phases; 4,294,967,295: none"),
        lambda view: view.set_point.power,
        "W",
        write=Write.POWER,
    ),
    _one(3060, _("Limit in force"), lambda view: _tenths(view.asked.limit_ma), "0.1 A"),
    _one(
        3061,
        _(
            "What sets the limit: 0 cable, 1 rated current, 2 mains of the station, 3 cluster, 4 energy manager, "
            "5 charging profile, 6 fallback (energy manager or cluster not heard), 8 fault, 9 local setting or rest "
            "of the contactor, 10 grid operator (§ 14a EnWG)"
        ),
        _limiting,
    ),
    _one(3062, _("Rating of the cable; 0: not known"), lambda view: _tenths(view.asked.cable_ma or 0), "0.1 A"),
    _one(3070, _("Error number (see below); 0: none"), lambda view: error_number(view.asked)),
    _two(3071, _("All errors: bit n - 1 stands for error number n"), _error_field),
    _two(3080, _("Number of the session; 0: none"), lambda view: view.asked.session.id if view.asked.session else 0),
    _two(
        3082,
        _("Begin of the session, seconds since 1970 (UTC)"),
        lambda view: int(view.asked.session.started_at.timestamp()) if view.asked.session else 0,
        "s",
    ),
    _two(
        3084,
        _("Meter reading at the begin of the session"),
        lambda view: view.asked.session.meter_start_wh if view.asked.session else 0,
        "Wh",
    ),
    Register(
        address=3090,
        words=4,
        kind=Kind.U64,
        meaning=_("Energy, total"),
        unit="Wh",
        read=lambda view: _metered(view, view.asked.energy_wh),
    ),
)


def _role(view: View) -> int:
    if view.cluster is None or not view.cluster.enabled:
        return 0
    # The numbers of the Bender table: a master has points of its own, and a slave searches for its master.
    return 1 if view.cluster.role == "master" else 3


def _installed(view: View) -> MilliAmpere:
    led = view.led
    return view.mains_ceiling if led is None else led.limit_ma or PAUSE


def _in_force(view: View) -> MilliAmpere:
    led = view.led
    return view.mains if led is None else led.limit_ma or PAUSE


def _applied(view: View, phase: int) -> int:
    """Return what is signalled to the cars, or what the master counts for all stations, which is never less."""
    led = view.led
    if led is not None and led.reserved_ma is not None:
        return led.reserved_ma[phase]
    return sum(point.offered_ma or 0 for point in view.points)


def _station_phases(first: int, meaning: "str | Promise", value: Callable[[View, int], int]) -> tuple[Register, ...]:
    def read(phase: int) -> _Read:
        return lambda view: _ampere(max(value(view, phase), 0))

    return tuple(_one(first + phase, _named(meaning, f"L{phase + 1}"), read(phase), "A") for phase in range(3))


_STATION = (
    _one(600, _("Role in the cluster: 0 none, 1 master, 3 slave"), _role),
    *_station_phases(
        610, _("Limit of the installer (at a master: of the cluster)"), lambda view, _phase: _installed(view)
    ),
    *_station_phases(613, _("The same as far as the operator allows it"), lambda view, _phase: _in_force(view)),
    _one(620, _("External meter: 0 none"), lambda _view: 0),
    _one(
        621,
        _("Number of other stations that the master hears"),
        lambda view: sum(not each.lost and each.id != view.led.own_id for each in view.led.stations) if view.led else 0,
    ),
    *_station_phases(630, _("Sum of what the cars may draw"), _applied),
    *_station_phases(633, _("What is left of it"), lambda view, phase: _in_force(view) - _applied(view, phase)),
)


def _of_point(number: int, value: Callable[[PointSnapshot], Value]) -> _Read:
    return lambda view: next((value(point) for point in view.points if point.number == number), None)


def _summary(number: int) -> tuple[Register, ...]:
    first, name = 3200 + 8 * (number - 1), str(number)
    return (
        _one(
            first,
            _named(_("OCPP status (as 104) of charging point"), name),
            _of_point(number, lambda point: STATUSES.get(point.status)),
        ),
        _one(
            first + 1,
            _named(_("Limit in force at charging point"), name),
            _of_point(number, lambda point: _tenths(point.limit_ma)),
            "0.1 A",
        ),
        _two(
            first + 2,
            _named(_("Power of charging point"), name),
            _of_point(number, lambda point: point.power_w),
            "W",
        ),
        _two(
            first + 4,
            _named(_("Energy of charging point"), name),
            _of_point(number, lambda point: point.energy_wh),
            "Wh",
        ),
        _one(first + 6, _named(_("Error number of charging point"), name), _of_point(number, error_number)),
    )


@cache
def table(unit: Unit, points: int) -> tuple[Register, ...]:
    """Return the registers of a unit, in the order of their addresses."""
    if unit is Unit.POINT:
        registers = _COMMON + _POINT
    else:
        registers = _COMMON + _STATION + tuple(each for n in range(1, points + 1) for each in _summary(n))
    return tuple(sorted(registers, key=lambda register: register.address))


@cache
def by_address(unit: Unit, points: int) -> Mapping[int, tuple[Register, int]]:
    """Return for each address its register and which word of it stands there."""
    return {
        register.address + word: (register, word) for register in table(unit, points) for word in range(register.words)
    }
