"""What the control loop asks of hardware. Drivers implement these; the simulator answers the drivers, never the loop.

Every method is a coroutine that ends within the driver's own time-out and raises a `DeviceFailed` subclass, never
anything else, when the device does not do what was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, runtime_checkable

from station.domain.faults import FaultCode
from station.domain.flashing import BootStatus, FirmwareImage
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour


class DeviceFailed(Exception):
    """The device did not do what was asked; the message is for the event log."""


class DeviceSilent(DeviceFailed):
    """No answer within the time-out, or the port is gone."""


class DeviceGarbled(DeviceFailed):
    """An answer that fails its checksum or makes no sense."""


class DeviceRefused(DeviceFailed):
    """A well-formed refusal: Modbus exception, error status, wrong commissioning."""


class DriverFailed(DeviceFailed):
    """The driver itself has raised what it must not; the message is for the log, the code must change."""


class Pilot(StrEnum):
    """State of the control pilot, IEC 61851-1 table A.4."""

    A = "A"  # no vehicle
    B = "B"  # vehicle connected, wants no energy
    C = "C"  # vehicle wants energy
    D = "D"  # vehicle wants energy and ventilation
    E = "E"  # no pilot: cable short, power loss
    F = "F"  # station not available


@dataclass(frozen=True, kw_only=True)
class ControllerIdentity:
    """What an EVSE controller says about itself; `hardware_id` as the Connectors page shows it."""

    model: str
    serial: str
    hardware_id: str
    firmware: str


@dataclass(frozen=True, kw_only=True)
class ControllerStatus:
    """One poll of an EVSE controller. `None`: this controller cannot say.

    `read_at_s`: monotonic seconds of the moment the answer arrived; a reader of the value judges its age itself.
    `pwm_on`: the pilot signals a permitted current (suffix 2 of IEC states). `cable`: rating of the plugged cable,
    0 when none is plugged, None when unknown. `button_pressed`: the stop button at the charging point.
    """

    read_at_s: float
    pilot: Pilot
    pwm_on: bool
    offered: MilliAmpere
    cable: MilliAmpere | None
    locked: bool | None
    contactor_closed: bool | None
    enabled: bool
    button_pressed: bool = False
    faults: frozenset[FaultCode] = frozenset()
    vendor_detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Watchdog:
    """What a controller does by itself when it hears nothing from this software any more.

    `timeout_s`: after how long (None: its maker does not say). `fallback`: the current a car may go on with, 0: energy
    is withdrawn, None: less than before, its maker does not say how much. `needs_heartbeat`: requests are no sign of
    life to it, it wants a heartbeat (`HeartbeatWanted`).
    """

    timeout_s: float | None
    fallback: MilliAmpere | None
    needs_heartbeat: bool = False


@dataclass(frozen=True, kw_only=True)
class ControllerCapabilities:
    """What a controller type can do beyond the minimum; `resolution`: smallest step of `set_current`.

    `watchdog` None: the board goes on for ever with what it was told last.
    """

    lock: bool
    contactor_feedback: bool
    resolution: MilliAmpere
    watchdog: Watchdog | None = None


class EvseController(Protocol):
    """The controller board of one charging point: pilot, lock, contactor."""

    capabilities: ControllerCapabilities

    async def open(self) -> None:
        """Take the line; succeeds also while the device is silent."""

    async def close(self) -> None: ...
    async def identify(self) -> ControllerIdentity:
        """Read identity and check commissioning; DeviceRefused says which setting of the board is wrong."""

    async def read_status(self) -> ControllerStatus: ...
    async def set_current(self, limit: MilliAmpere) -> None:
        """Signal this current: 0 pauses (pwm off), else 6000..80000 mA rounded *down* to the resolution."""

    async def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the argument is the setting
        """Release (or end) energy; the controller closes the contactor only when released and the car is in C."""

    async def set_available(self, available: bool) -> None:  # noqa: FBT001 - the argument is the setting
        """False: pilot state F."""

    async def lock(self) -> None:
        """Drive the lock; returns when commanded. Success shows in `ControllerStatus.locked` or a lock fault."""

    async def unlock(self) -> None: ...
    async def restart(self) -> None: ...


@runtime_checkable
class HeartbeatWanted(Protocol):
    """A controller that withdraws or reduces energy unless it is told again and again that its master lives.

    `heartbeat_s`: how often the control loop calls `beat` – while it works, and only then.
    """

    heartbeat_s: float

    async def beat(self) -> None: ...


@runtime_checkable
class FirmwareWriter(Protocol):
    """A controller whose firmware can be written, beside what an EvseController can; `image` comes with the station.

    `station.domain.flashing` decides which method is called next, by `boot_status`.
    """

    image: FirmwareImage

    async def boot_status(self) -> BootStatus:
        """Read what the controller does with its firmware; answered at any time."""

    async def enter_bootloader(self) -> None:
        """Stop the firmware; DeviceRefused while energy is released. From here on only these methods are answered."""

    async def begin_transfer(self) -> None: ...
    async def write_block(self, number: int) -> None:
        """Send a block with its checksum; DeviceRefused when it arrives damaged or is not the next one."""

    async def verify_transfer(self) -> None: ...
    async def activate(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class MeterIdentity:
    """`public_key`: upper-case hex of the DER key as printed on the meter; empty for a meter that does not sign."""

    vendor: str
    model: str
    serial: str
    firmware: str = ""
    public_key: str = ""


@dataclass(frozen=True, kw_only=True)
class MeterReading:
    """One poll of a meter; a value the meter does not deliver is None, never 0. Tuples are (L1, L2, L3)."""

    read_at_s: float
    import_energy: WattHour
    power: Watt | None = None
    voltages: tuple[MilliVolt | None, MilliVolt | None, MilliVolt | None] = (None, None, None)
    currents: tuple[MilliAmpere | None, MilliAmpere | None, MilliAmpere | None] = (None, None, None)
    phase_powers: tuple[Watt | None, Watt | None, Watt | None] = (None, None, None)
    frequency: MilliHertz | None = None
    export_energy: WattHour | None = None


class PhaseValues(Protocol):
    """What shows whether current flows, and whether the wiring is sound: (L1, L2, L3), None where nothing is known."""

    @property
    def voltages(self) -> tuple[MilliVolt | None, MilliVolt | None, MilliVolt | None]: ...
    @property
    def currents(self) -> tuple[MilliAmpere | None, MilliAmpere | None, MilliAmpere | None]: ...


@dataclass(frozen=True, kw_only=True)
class MeasuredPhases:
    """The part of a reading that is right although the reading as a whole is not."""

    voltages: tuple[MilliVolt | None, MilliVolt | None, MilliVolt | None] = (None, None, None)
    currents: tuple[MilliAmpere | None, MilliAmpere | None, MilliAmpere | None] = (None, None, None)


class ReadingUnusable(DeviceGarbled):
    """A reading no bill can rest on: a register that cannot be true, a value that is no number, a part that is missing.

    `phases` is what was measured all the same: the watch over the current depends on it, whatever the register says.
    """

    def __init__(self, message: str, phases: PhaseValues) -> None:
        super().__init__(message)
        self.phases = phases


class Meter(Protocol):
    """The energy meter of one charging point."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def identify(self) -> MeterIdentity: ...
    async def read(self) -> MeterReading:
        """Read everything; ReadingUnusable where only the phases are certain."""


class SignatureFormat(StrEnum):
    """How signed meter data are encoded; the values are the encoding methods of the OCA paper, section 3.2."""

    OCMF = "OCMF"
    EDL = "EDL"


class Synchronisation(StrEnum):
    """How far the time may be trusted that a meter is given (OCMF, table 7)."""

    UNKNOWN = "U"
    INFORMATIVE = "I"
    SYNCHRONISED = "S"
    RELATIVE = "R"


class SignedEnd(StrEnum):
    """Why a measured transaction ends (OCMF, TX of the last reading)."""

    END = "E"
    LOCAL = "L"
    REMOTE = "R"
    ABORT = "A"
    POWER_FAILURE = "P"


@dataclass(frozen=True, kw_only=True)
class Identification:
    """Who a measured transaction is for, as OCMF names it: IS, IL, IF, IT, ID and the charging point (CT, CI)."""

    assigned: bool
    level: str
    flags: tuple[str, ...]
    kind: str
    data: str
    charge_point_kind: str = ""
    charge_point: str = ""


@dataclass(frozen=True, kw_only=True)
class SignedRecord:
    """What a meter has signed, byte by byte as it came: nothing here may be changed or written anew.

    `signed_at_s`: monotonic seconds of the moment the record arrived.
    """

    raw: bytes
    format: SignatureFormat
    signed_at_s: float


@runtime_checkable
class SigningMeter(Protocol):
    """What a meter that signs can do, beside what a Meter can. It holds the only key; the station carries bytes.

    A meter measures one transaction at a time. Its own state lasts over a power cut, the station's knowledge may not:
    `open_transaction` and `last_record` tell what became of an order whose answer was lost. `longest_signing_s`: how
    long the meter may take for a record (OCA paper, section 2.3.1: up to 30 s).
    """

    longest_signing_s: float

    async def set_time(self, at: datetime, offset_s: int, synchronisation: Synchronisation) -> None:
        """Tell the meter the time: UTC, and by how many seconds the local one is ahead of it."""

    async def open_transaction(self) -> Identification | None:
        """Return for whom a transaction is being measured; None when there is none."""

    async def begin_transaction(self, identification: Identification) -> SignedRecord:
        """Begin to measure and return the signed begin; DeviceRefused while another transaction is open."""

    async def end_transaction(self, end: SignedEnd) -> SignedRecord:
        """End the measured transaction and return the signed end; DeviceRefused when none is open."""

    async def last_record(self) -> SignedRecord | None:
        """Return the record signed last, as often as it is asked for; None when the meter has signed none."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A card at the reader: `uid` as text of up to 20 characters, already normalised per reader settings."""

    uid: str
    technology: str = ""


class ReaderSignal(StrEnum):
    """Feedback for the driver at the reader: light and beep."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    WAIT = "wait"


class TagReader(Protocol):
    """A card reader; `poll` answers the tags now in the field and raises DeviceFailed when the reader is unwell."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def poll(self) -> Sequence[Tag]: ...
    async def signal(self, signal: ReaderSignal) -> None: ...


class LampColour(StrEnum):
    """Colour of the topper lamp of one charging point."""

    OFF = "off"
    GREEN = "green"
    BLUE = "blue"
    RED = "red"
    YELLOW = "yellow"


@dataclass(frozen=True, kw_only=True)
class LampPattern:
    """What the lamp shows: steady (`blinks` 0) or n blinks and a pause, repeated."""

    colour: LampColour
    blinks: int = 0


class Signal(StrEnum):
    """What a contact tells the station beside faults."""

    DIMMING = "dimming"  # of the grid operator's control box (§ 14a EnWG)


@dataclass(frozen=True, kw_only=True)
class StationInputs:
    """One poll of the station's digital inputs, already translated by the hardware configuration.

    `faults` maps a connector number (0: station) to the faults whose auxiliary contacts are active, `closed` a signal
    to whether its contact is closed; one that has no input is not in it. `lamp_problem`: why the lamps cannot be
    switched, although the inputs can be read.
    """

    read_at_s: float
    faults: dict[int, frozenset[FaultCode]] = field(default_factory=dict)
    closed: dict[Signal, bool] = field(default_factory=dict)
    lamp_problem: str = ""


class StationIo(Protocol):
    """Digital inputs (auxiliary contacts) and lamp outputs of the station."""

    @property
    def signals(self) -> frozenset[Signal]:
        """The signals that have an input."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def read(self) -> StationInputs: ...
    async def show(self, connector_id: int, pattern: LampPattern) -> None: ...


# A charging point is connected to the mains by so many phases, or by one.
MOST_PHASES = 3


@dataclass(frozen=True, kw_only=True)
class Devices:
    """The devices of the station, not opened yet. Readers come with their charging point, None for all of them.

    `phases`: by how many phases a charging point is connected to the mains; one that is not named by three.
    """

    controllers: dict[int, EvseController]
    meters: dict[int, Meter]
    readers: list[tuple[int | None, TagReader]]
    io: StationIo | None
    phases: dict[int, int] = field(default_factory=dict)

    @property
    def firmware_writers(self) -> dict[int, FirmwareWriter]:
        """Return the controllers whose firmware can be written."""
        return {number: each for number, each in self.controllers.items() if isinstance(each, FirmwareWriter)}

    @property
    def heartbeats(self) -> dict[int, HeartbeatWanted]:
        """Return the controllers that want a heartbeat."""
        return {number: each for number, each in self.controllers.items() if isinstance(each, HeartbeatWanted)}

    @property
    def signing_meters(self) -> dict[int, SigningMeter]:
        """Return the meters that sign."""
        return {number: each for number, each in self.meters.items() if isinstance(each, SigningMeter)}
