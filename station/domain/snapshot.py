"""The present of the station as its processes show it to one another: pages and log read these types, a display will.

A snapshot travels as JSON. What cannot be read, because another version of the software wrote it, decodes to None.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, NewType, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from station.domain.backend_ladder import Observation, Registered
from station.domain.ports import Watchdog
from station.domain.units import PAUSE, MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Snapshot = TypeVar("_Snapshot")
NO_PHASES = (None, None, None)
# Reasons for which there is no control loop.
_STAND_INS = frozenset({"safe_mode", "hardware_missing", "hardware_wrong"})


@dataclass(frozen=True, kw_only=True)
class SessionSnapshot:
    """The running session. `energy_wh`: what it has drawn so far."""

    id: int
    id_tag: str
    origin: str
    started_at: datetime
    meter_start_wh: int
    energy_wh: int
    transaction_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class FinishedSessionSnapshot:
    """The last session that has ended here. `reason` is an OCPP 1.6 Reason."""

    id: int
    id_tag: str
    started_at: datetime
    ended_at: datetime
    energy_wh: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class RefusalSnapshot:
    """The last start that was refused here; `reason` is a `commands.Refusal`, `because` an `authorization.Reason`."""

    at: datetime
    id_tag: str
    reason: str
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class WaitingCardSnapshot:
    """A card that was accepted and waits for its car; `until` None: for ever."""

    id_tag: str
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class ReservationSnapshot:
    """The reservation that holds."""

    reservation_id: int
    id_tag: str
    expires_at: datetime


@dataclass(frozen=True, kw_only=True)
class LineSnapshot:
    """How it goes on the line to a device: its last good answer, and polls without one since the start."""

    heard_at: datetime | None = None
    errors: int = 0


@dataclass(frozen=True, kw_only=True)
class ReaderSnapshot:
    """A card reader; `connector_id` None: it serves all charging points."""

    connector_id: int | None
    ok: bool
    line: LineSnapshot


@dataclass(frozen=True, kw_only=True)
class ControllerSnapshot:
    """The controller board; `ok` None: nobody can say. `shipped`: the firmware the station can write; empty: none.

    `watchdog` None: with a model, the board goes on for ever with what it was told; without one, nobody can say.
    """

    ok: bool | None = None
    shipped: str = ""
    watchdog: Watchdog | None = None
    model: str = ""
    serial: str = ""
    hardware_id: str = ""
    firmware: str = ""
    line: LineSnapshot = LineSnapshot()


@dataclass(frozen=True, kw_only=True)
class MeterSnapshot:
    """The energy meter; `ok` None: nobody can say."""

    ok: bool | None = None
    vendor: str = ""
    model: str = ""
    serial: str = ""
    firmware: str = ""
    public_key: str = ""
    line: LineSnapshot = LineSnapshot()


@dataclass(frozen=True, kw_only=True)
class FlashingSnapshot:
    """The firmware of the controller is being written; `stage` is a `flashing.Stage`."""

    stage: str
    percent: int


@dataclass(frozen=True, kw_only=True)
class PointSnapshot:
    """One charging point; None: the device cannot say, or has not said yet.

    `phase` is a `connector.Phase`, `status` and `error_code` are OCPP's, `faults` are codes of the fault catalogue.
    `offered_ma` is what the pilot signals, `limit_ma` what it may, `limit_source` which of the `limits` sets it.
    """

    number: int
    status: str
    phase: str | None = None
    phase_since: datetime | None = None
    error_code: str = "NoError"
    faults: tuple[str, ...] = ()
    operative: bool = True
    scheduled_operative: bool | None = None
    plugged: bool | None = None
    pilot: str | None = None
    pwm: bool | None = None
    locked: bool | None = None
    contactor: bool | None = None
    cable_ma: MilliAmpere | None = None
    offered_ma: MilliAmpere | None = None
    limit_ma: MilliAmpere | None = None
    limit_source: str | None = None
    limits: dict[str, MilliAmpere] = field(default_factory=dict)
    energy_wh: WattHour | None = None
    power_w: Watt | None = None
    voltages_mv: tuple[MilliVolt | None, MilliVolt | None, MilliVolt | None] = NO_PHASES
    currents_ma: tuple[MilliAmpere | None, MilliAmpere | None, MilliAmpere | None] = NO_PHASES
    phase_powers_w: tuple[Watt | None, Watt | None, Watt | None] = NO_PHASES
    frequency_mhz: MilliHertz | None = None
    reading_at: datetime | None = None
    reading_age_ms: int | None = None
    session: SessionSnapshot | None = None
    waiting_card: WaitingCardSnapshot | None = None
    reservation: ReservationSnapshot | None = None
    last_session: FinishedSessionSnapshot | None = None
    last_refusal: RefusalSnapshot | None = None
    flashing: FlashingSnapshot | None = None
    controller: ControllerSnapshot = ControllerSnapshot()
    meter: MeterSnapshot = MeterSnapshot()


@dataclass(frozen=True, kw_only=True)
class SeenCardSnapshot:
    """A card that was held to a reader, whatever became of it."""

    at: datetime
    id_tag: str


@dataclass(frozen=True, kw_only=True)
class ModbusClientSnapshot:
    """A connected energy manager; what it has written last are a register of the table and its value."""

    address: str
    port: int
    since: datetime
    last_read_at: datetime | None = None
    last_write_at: datetime | None = None
    last_write_register: int | None = None
    last_write_value: int | None = None


@dataclass(frozen=True, kw_only=True)
class ModbusRefusalSnapshot:
    """The last connection that was refused: `reason` is not_listed or too_many."""

    at: datetime
    address: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class ModbusPointSnapshot:
    """How an energy manager controls a charging point; `watchdog` is an `energy_manager.Watchdog`.

    `current_ma` and `power_w` are what was written last, `limit_ma` what holds by that or by the fallback,
    `resumes_in_s` how long a pause still lasts only to spare the contactor.
    """

    number: int
    watchdog: int
    remaining_s: int
    current_ma: MilliAmpere | None = None
    power_w: Watt | None = None
    limit_ma: MilliAmpere | None = None
    resumes_in_s: int = 0
    heard_at: datetime | None = None
    written_at: datetime | None = None
    written_by: str = ""
    has_meter: bool = True


@dataclass(frozen=True, kw_only=True)
class ModbusSnapshot:
    """The Modbus server; `problem` is what the operating system says when a port cannot be opened.

    `uptime_s`: how long the charging points have been controlled without a restart.
    """

    enabled: bool
    uptime_s: int = 0
    ports: tuple[int, ...] = ()
    problem: str = ""
    problem_port: int | None = None
    clients: tuple[ModbusClientSnapshot, ...] = ()
    refusal: ModbusRefusalSnapshot | None = None
    points: tuple[ModbusPointSnapshot, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ClusterPointSnapshot:
    """A charging point of a cluster: what it asks for, what it was given, what its board holds, and what flows.

    `state`: idle (nobody charges), charging, ready (it may charge, nothing flows), waiting (others were first) or
    paused (its own other limits leave it nothing). `limit_ma` is what those leave it, `granted_ma` None: nothing yet.
    `phases` are those of the supply that it may load.
    """

    number: int
    state: str
    active: bool = False
    limit_ma: MilliAmpere = PAUSE
    granted_ma: MilliAmpere | None = None
    held_ma: MilliAmpere = PAUSE
    flowing_ma: MilliAmpere = PAUSE
    waiting: bool = False
    phases: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True, kw_only=True)
class ClusterStationSnapshot:
    """A station of a cluster as the master knows it; `link_age_s` None: not heard since the master's start.

    `reserved_ma` is what the master keeps free for all its points per phase, `fallback_ma` what each of them stands at
    when the link is lost.
    """

    id: str
    name: str
    role: str
    points: tuple[ClusterPointSnapshot, ...]
    rating_ma: MilliAmpere
    fallback_ma: MilliAmpere
    reserved_ma: MilliAmpere = PAUSE
    link_age_s: int | None = None
    lost: bool = False


@dataclass(frozen=True, kw_only=True)
class ClusterFoundSnapshot:
    """A station that the search in the local network has found; `same_cluster`: it has the same key.

    `address` is that of its cluster port (empty for a slave), `web` that of its pages.
    """

    id: str
    name: str
    role: str
    points: int
    address: str = ""
    web: str = ""
    same_cluster: bool = False


@dataclass(frozen=True, kw_only=True)
class ClusterRefusalSnapshot:
    """The last station that the master has refused, and why: a reason of `loadmgmt.cluster`."""

    at: datetime
    station: str
    reason: str


def called(station_id: str, name: str) -> str:
    """Return how a station of a cluster is called: many have the same name, so its serial number stands beside it."""
    return name if not station_id or station_id in name else f"{name} {station_id}".strip()


@dataclass(frozen=True, kw_only=True)
class ClusterSnapshot:
    """The station's place in a cluster.

    `state`: off, starting, no_key, no_limit, no_server, searching, joining, member, silent, id_taken, not_admitted,
    leading, refused (another master leads). `problem` is the reason code behind it, `problem_detail` what the system
    or the server says.
    `limit_ma` is the cluster's limit per phase, `total_ma` one over all phases together (None: none), `reserved_ma`
    what all stations may draw now per phase. `stations` come from the master, also at a slave.
    """

    enabled: bool
    role: str = "slave"
    state: str = "off"
    problem: str = ""
    problem_detail: str = ""
    own_id: str = ""
    fallback_ma: MilliAmpere = PAUSE
    master_id: str = ""
    master_address: str = ""
    lease_remaining_s: int | None = None
    link_age_s: int | None = None
    rise_in_s: int | None = None
    limit_ma: MilliAmpere | None = None
    total_ma: MilliAmpere | None = None
    reserved_ma: tuple[MilliAmpere, MilliAmpere, MilliAmpere] | None = None
    stations: tuple[ClusterStationSnapshot, ...] = ()
    found: tuple[ClusterFoundSnapshot, ...] = ()
    search_problem: str = ""
    second_master: ClusterFoundSnapshot | None = None
    refusal: ClusterRefusalSnapshot | None = None
    malformed: int = 0

    @property
    def leads(self) -> bool:
        """Whether this station divides the current, be it among its own charging points only."""
        return self.state in {"leading", "no_server"}

    @property
    def is_told(self) -> bool:
        """Whether what stands here of the stations is of now: a slave knows it as long as it hears its master."""
        return self.state in {"leading", "member"}


@dataclass(frozen=True, kw_only=True)
class DimmingSnapshot:
    """The grid operator's control box. `closed`: its contact; None: not known. `cause` is a `dimming.Cause`.

    `since` and `carried_out_at` are of the intervention that holds; `drawn_w` None: not every meter is heard.
    """

    enabled: bool
    has_input: bool
    power_w: Watt
    active: bool
    cause: str
    closed: bool | None = None
    since: datetime | None = None
    carried_out_at: datetime | None = None
    drawn_w: Watt | None = None


@dataclass(frozen=True, kw_only=True)
class DescriptionMistake:
    """What is wrong with hardware.json: the place in the file, and an English sentence with its data, to translate."""

    where: str
    template: str
    data: dict[str, str]

    @property
    def text(self) -> str:
        """The sentence in English, for those who read no language of their own: logs and other programs."""
        return f"{self.where}: {self.template % self.data}"


@dataclass(frozen=True, kw_only=True)
class HardwareSnapshot:
    """Everything the control loop knows. `not_ready` says why the station cannot charge; empty: it can.

    `seen_cards`: the last ones at the readers, newest first, so that people can enter them into the whitelist.
    """

    revision: int
    at: datetime
    not_ready: tuple[str, ...]
    status: str
    faults: tuple[str, ...]
    mains_ma: MilliAmpere
    reader_ok: bool
    points: tuple[PointSnapshot, ...]
    seen_cards: tuple[SeenCardSnapshot, ...] = ()
    readers: tuple[ReaderSnapshot, ...] = ()
    modbus: ModbusSnapshot | None = None
    dimming: DimmingSnapshot | None = None
    cluster: ClusterSnapshot | None = None
    # Whether charging profiles that depend on the time are followed, and not by the least they give.
    time_is_known: bool = True
    # What is wrong with the description of the hardware, where that is why the station cannot charge.
    mistakes: tuple[DescriptionMistake, ...] = ()

    @property
    def ready(self) -> bool:
        """Whether the station can charge."""
        return not self.not_ready

    @property
    def is_controlled(self) -> bool:
        """Whether a control loop runs, and not what stands in for it."""
        return _STAND_INS.isdisjoint(self.not_ready)

    def point(self, number: int) -> PointSnapshot | None:
        """Return one charging point."""
        return next((each for each in self.points if each.number == number), None)


@dataclass(frozen=True, kw_only=True)
class BackendSnapshot:
    """How the connection to the backend stands. `registration` is a `registration.Phase`; `outbox` None: unknown.

    `link` is a `link_security.LinkKind`. A new address goes back to `trial_back_to` in `trial_minutes` unless a backend
    accepts the station there; `taken_back_url` is the last one that did.

    `attempt` is the attempt to connect that stands or was the last, `failed` the last one that failed, `checked` a look
    at the way to the server while a connection stands, `tried` the trial `tried_id` of settings that are not in force.
    """

    connected: bool
    registration: str
    url: str = ""
    identity: str = ""
    since: datetime | None = None
    last_error: str = ""
    outbox: int | None = None
    link: str = ""
    trial_back_to: str = ""
    trial_minutes: int | None = None
    taken_back_url: str = ""
    registered: Registered | None = None
    attempt: Observation | None = None
    failed: Observation | None = None
    checked: Observation | None = None
    tried: Observation | None = None
    tried_id: str = ""


# --- the JSON form


def encode(snapshot: "DataclassInstance") -> str:
    """Return the JSON text."""
    return json.dumps(snapshot, default=_plain, separators=(",", ":"))


def _plain(value: object) -> object:
    # Not `asdict`: its deep copy costs more than all the rest, twice a second while a car charges.
    return value.isoformat() if isinstance(value, datetime) else vars(value)


def decode(kind: type[_Snapshot], text: str | bytes | None) -> _Snapshot | None:
    """Read the JSON text of a snapshot; None when there is none, or when it is of another version."""
    if not text:
        return None
    try:
        found: object = _reader(cast("Any", kind))(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if isinstance(found, kind) else None


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """Return what reads a JSON value as a type and raises ValueError, KeyError or TypeError when it is none.

    Made once for each type: an hour of a hundred stations is 36,000 values.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        (inner,) = (each for each in arguments if each is not NoneType)
        read = _reader(inner)
        return (lambda value: None if value is None else read(value)) if NoneType in arguments else read
    if isinstance(kind, NewType):
        return _reader(kind.__supertype__)
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        readers = [(each.name, _reader(hints[each.name])) for each in fields(kind)]
        return lambda value: kind(**{name: read(value[name]) for name, read in readers})
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is dict:
        read = _reader(arguments[1])
        return lambda value: {name: read(each) for name, each in value.items()}
    if kind is datetime:
        return datetime.fromisoformat
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return kind
    return _plain_reader(kind)


def _tuple_reader(kinds: tuple[Any, ...]) -> Callable[[Any], Any]:
    readers = [_reader(each) for each in kinds if each is not Ellipsis]
    is_any_length = kinds[1:] == (Ellipsis,)

    def read(values: Any) -> tuple[Any, ...]:
        if not isinstance(values, list):
            raise TypeError(values)
        if is_any_length:
            return tuple(map(readers[0], values))
        return tuple(reader(each) for reader, each in zip(readers, values, strict=True))

    return read


def _plain_reader(kind: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        # No isinstance: True would pass for a number.
        if type(value) is not kind:
            raise TypeError(value)
        return value

    return read
