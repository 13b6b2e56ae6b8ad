"""What needs somebody's attention: one list for the whole station, the worst first."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

from station.domain.cluster.timing import LOST_AFTER_S
from station.domain.dimming import Cause
from station.domain.faults import CATALOGUE, FaultCode
from station.domain.limits import LimitSource
from station.domain.link_security import LinkKind
from station.domain.snapshot import (
    BackendSnapshot,
    ClusterSnapshot,
    ClusterStationSnapshot,
    DescriptionMistake,
    HardwareSnapshot,
    called,
)

_MEGABYTE = 1_000_000
SCARCE_BYTES = 200 * _MEGABYTE
TOO_FEW_BYTES = 20 * _MEGABYTE
# So many stations are named in a sentence.
_NAMED = 5
_ACCEPTED = "accepted"
_REFUSED = "rejected"
# States of a station that cannot take its place in the cluster until somebody does something.
_UNABLE = frozenset({"no_key", "no_limit", "no_server", "id_taken", "not_admitted"})
_SEARCHING = frozenset({"searching", "silent"})


class Severity(IntEnum):
    """NOTICE: it works, and somebody should know. PROBLEM: something does not work, or is dangerous."""

    NOTICE = 1
    PROBLEM = 2


class Subject(StrEnum):
    """What it is about. NOT_READY, FAULT and CLUSTER_UNABLE name their own codes."""

    NOT_READY = "not_ready"
    FAULT = "fault"
    OUT_OF_SERVICE = "out_of_service"
    BACKEND_ABSENT = "backend_absent"
    BACKEND_NOT_SET_UP = "backend_not_set_up"
    BACKEND_OFFLINE = "backend_offline"
    BACKEND_NOT_REGISTERED = "backend_not_registered"
    LINK_PLAIN = "link_plain"
    LINK_UNVERIFIED = "link_unverified"
    LINK_TRUSTED_BLINDLY = "link_trusted_blindly"
    MESSAGES_SET_ASIDE = "messages_set_aside"
    DIMMING_ACTIVE = "dimming_active"
    DIMMING_SILENT = "dimming_silent"
    DIMMING_NO_INPUT = "dimming_no_input"
    DIMMING_OFF = "dimming_off"
    ENERGY_MANAGER_SILENT = "energy_manager_silent"
    MODBUS_CLOSED = "modbus_closed"
    CLUSTER_UNABLE = "cluster_unable"
    CLUSTER_SECOND_MASTER = "cluster_second_master"
    CLUSTER_SILENT = "cluster_silent"
    CLUSTER_LOST = "cluster_lost"
    MODEM_OFFLINE = "modem_offline"
    CLOCK = "clock"
    DISK = "disk"
    DATABASE_SET_ASIDE = "database_set_aside"
    SECRETS_LOST = "secrets_lost"
    UPDATE_FAILED = "update_failed"
    VENDOR_ACCESS = "vendor_access"
    PASSWORD_OF_FACTORY = "password_of_factory"  # noqa: S105 - the name of a concern


@dataclass(frozen=True, kw_only=True)
class Concern:
    """One line of the list. `code`: the fault, or why the station is not ready; `since` None: nobody noted it."""

    subject: Subject
    severity: Severity
    code: str = ""
    connector: int | None = None
    since: datetime | None = None
    data: Mapping[str, str | int] = field(default_factory=dict)
    # Those of the description of the hardware, where that is why the station is not ready.
    mistakes: tuple[DescriptionMistake, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of the station at one moment. `hardware` and `backend` None: their process is away.

    `modem_offline`: there is a modem, and it has no network. `vendor_access_left_minutes` None: it is closed.
    """

    redis_answers: bool
    hardware: HardwareSnapshot | None
    backend: BackendSnapshot | None
    free_bytes: int
    clock_is_kept: bool = True
    modem_offline: bool = False
    trusts_plain_link: bool = False
    messages_set_aside: int = 0
    databases_set_aside: tuple[str, ...] = ()
    secrets_lost: tuple[str, ...] = ()
    update_failed_at: datetime | None = None
    vendor_access_left_minutes: int | None = None
    password_of_factory: bool = False


def concerns(known: Known) -> tuple[Concern, ...]:
    """Return everything that needs attention, the worst first."""
    found = [*_charging(known), *_backend(known), *_computer(known)]
    return tuple(sorted(found, key=lambda concern: -concern.severity))


def worst(found: tuple[Concern, ...]) -> Severity | None:
    """Return how bad it is; None: all in order."""
    return max((concern.severity for concern in found), default=None)


def _charging(known: Known) -> Iterator[Concern]:
    hardware = known.hardware
    if not known.redis_answers:
        yield _not_ready("redis_absent")
    elif hardware is None:
        yield _not_ready("hardware_absent")
    if hardware is None:
        return
    for code in hardware.not_ready:
        yield _not_ready(code, hardware.mistakes)
    for code in hardware.faults:
        yield _fault(code, None)
    for point in hardware.points:
        for code in point.faults:
            yield _fault(code, point.number)
        if not point.operative:
            yield Concern(subject=Subject.OUT_OF_SERVICE, severity=Severity.NOTICE, connector=point.number)
    yield from _dimming(hardware)
    yield from _energy_manager(hardware)
    if hardware.cluster is not None and hardware.cluster.enabled:
        yield from of_cluster(hardware.cluster)


def of_cluster(cluster: ClusterSnapshot) -> Iterator[Concern]:
    """Find what needs attention in the cluster that the station takes part in."""
    if cluster.state in _UNABLE:
        yield Concern(subject=Subject.CLUSTER_UNABLE, severity=Severity.PROBLEM, code=cluster.state)
    elif cluster.state in _SEARCHING:
        yield Concern(subject=Subject.CLUSTER_SILENT, severity=Severity.NOTICE)
    second = cluster.second_master
    if second is not None or cluster.state == "refused":
        name = called(second.id, second.name) if second else cluster.master_id
        yield Concern(subject=Subject.CLUSTER_SECOND_MASTER, severity=Severity.PROBLEM, data={"name": name})
    others = (station for station in cluster.stations if station.id != cluster.own_id)
    lost = [called(station.id, station.name) for station in others if _is_unheard(station)]
    if lost and cluster.state == "leading":
        yield Concern(subject=Subject.CLUSTER_LOST, severity=Severity.NOTICE, data={"names": _listed(lost)})


def _listed(names: Sequence[str]) -> str:
    """Name the first ones: a list of a hundred stations hides every other sentence."""
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" … (+{rest})" if rest > 0 else "")


def _is_unheard(station: ClusterStationSnapshot) -> bool:
    """Return whether a station is lost by silence: one that is heard and was lent nothing yet needs no attention."""
    return station.lost and (station.link_age_s is None or station.link_age_s >= LOST_AFTER_S)


def _dimming(hardware: HardwareSnapshot) -> Iterator[Concern]:
    known = hardware.dimming
    if known is None:
        return
    if not known.enabled:
        # An input that nothing was ever heard from may be one that is not wired.
        if known.has_input and known.closed:
            yield Concern(subject=Subject.DIMMING_OFF, severity=Severity.NOTICE)
    elif not known.has_input:
        yield Concern(subject=Subject.DIMMING_NO_INPUT, severity=Severity.PROBLEM)
    elif known.cause == Cause.SILENT:
        yield Concern(subject=Subject.DIMMING_SILENT, severity=Severity.PROBLEM)
    if known.active:
        yield Concern(
            subject=Subject.DIMMING_ACTIVE, severity=Severity.NOTICE, since=known.since, data={"power_w": known.power_w}
        )


def _energy_manager(hardware: HardwareSnapshot) -> Iterator[Concern]:
    port = hardware.modbus.problem_port if hardware.modbus else None
    if port is not None:
        yield Concern(subject=Subject.MODBUS_CLOSED, severity=Severity.PROBLEM, data={"port": port})
    for point in hardware.points:
        if point.limit_source == LimitSource.ENERGY_MANAGER_SILENT:
            yield Concern(subject=Subject.ENERGY_MANAGER_SILENT, severity=Severity.NOTICE, connector=point.number)


def _not_ready(code: str, mistakes: tuple[DescriptionMistake, ...] = ()) -> Concern:
    severity = Severity.NOTICE if code == "starting" else Severity.PROBLEM
    return Concern(subject=Subject.NOT_READY, severity=severity, code=code, mistakes=mistakes)


def _fault(code: str, connector: int | None) -> Concern:
    # A code that only a newer control loop knows is taken seriously.
    is_known = code in FaultCode.__members__.values()
    is_warning = is_known and not CATALOGUE[FaultCode(code)].faulted
    severity = Severity.NOTICE if is_warning else Severity.PROBLEM
    return Concern(subject=Subject.FAULT, severity=severity, code=code, connector=connector)


def _backend(known: Known) -> Iterator[Concern]:
    backend = known.backend
    if backend is None:
        if known.redis_answers:
            yield Concern(subject=Subject.BACKEND_ABSENT, severity=Severity.PROBLEM)
    elif not backend.url:
        yield Concern(subject=Subject.BACKEND_NOT_SET_UP, severity=Severity.NOTICE)
    elif not backend.connected:
        yield Concern(subject=Subject.BACKEND_OFFLINE, severity=Severity.PROBLEM, code=backend.last_error)
    else:
        yield from _link(backend)
    if known.trusts_plain_link:
        yield Concern(subject=Subject.LINK_TRUSTED_BLINDLY, severity=Severity.NOTICE)
    if known.messages_set_aside:
        yield Concern(
            subject=Subject.MESSAGES_SET_ASIDE, severity=Severity.NOTICE, data={"count": known.messages_set_aside}
        )


def _link(backend: BackendSnapshot) -> Iterator[Concern]:
    if backend.registration != _ACCEPTED:
        severity = Severity.PROBLEM if backend.registration == _REFUSED else Severity.NOTICE
        yield Concern(subject=Subject.BACKEND_NOT_REGISTERED, severity=severity, code=backend.registration)
    if backend.link == LinkKind.PLAIN:
        yield Concern(subject=Subject.LINK_PLAIN, severity=Severity.PROBLEM)
    elif backend.link == LinkKind.UNVERIFIED:
        yield Concern(subject=Subject.LINK_UNVERIFIED, severity=Severity.NOTICE)


def _computer(known: Known) -> Iterator[Concern]:
    if known.modem_offline:
        yield Concern(subject=Subject.MODEM_OFFLINE, severity=Severity.NOTICE)
    if not known.clock_is_kept:
        yield Concern(subject=Subject.CLOCK, severity=Severity.NOTICE)
    if known.free_bytes < SCARCE_BYTES:
        severity = Severity.PROBLEM if known.free_bytes < TOO_FEW_BYTES else Severity.NOTICE
        yield Concern(subject=Subject.DISK, severity=severity, data={"megabytes": known.free_bytes // _MEGABYTE})
    if known.databases_set_aside:
        yield Concern(
            subject=Subject.DATABASE_SET_ASIDE,
            severity=Severity.PROBLEM,
            data={"files": ", ".join(known.databases_set_aside)},
        )
    if known.secrets_lost:
        yield Concern(
            subject=Subject.SECRETS_LOST, severity=Severity.PROBLEM, data={"keys": ", ".join(known.secrets_lost)}
        )
    if known.update_failed_at is not None:
        yield Concern(subject=Subject.UPDATE_FAILED, severity=Severity.NOTICE, since=known.update_failed_at)
    if known.vendor_access_left_minutes is not None:
        minutes = known.vendor_access_left_minutes
        yield Concern(subject=Subject.VENDOR_ACCESS, severity=Severity.NOTICE, data={"minutes": minutes})
    if known.password_of_factory:
        yield Concern(subject=Subject.PASSWORD_OF_FACTORY, severity=Severity.NOTICE)
