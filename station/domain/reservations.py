"""Reservations: whether one can be made, and who may start while one holds (OCPP 1.6 sections 3.11 and 5.13)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from station.domain.authorization import same_tag


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """A promise that a tag, or a member of its group, finds a connector; connector 0 means any one."""

    reservation_id: int
    connector_id: int
    id_tag: str
    expires_at: datetime
    parent_id_tag: str | None = None


class Condition(StrEnum):
    """What a connector (or connector 0: the station) is, as far as reservations care."""

    FREE = "free"
    OCCUPIED = "occupied"
    UNAVAILABLE = "unavailable"
    FAULTED = "faulted"


class ReserveStatus(StrEnum):
    """OCPP 1.6 section 7.41."""

    ACCEPTED = "Accepted"
    FAULTED = "Faulted"
    OCCUPIED = "Occupied"
    REJECTED = "Rejected"
    UNAVAILABLE = "Unavailable"


class RefusalReason(StrEnum):
    """Why a start is refused because of a reservation."""

    CONNECTOR_RESERVED = "connector_reserved"
    LAST_CONNECTOR_RESERVED = "last_connector_reserved"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A start that would break a reservation.

    `ask_parent`: the reservation is for a group and the tag's group is not known here; an Authorize may still open it.
    """

    reason: RefusalReason
    reservation: Reservation
    ask_parent: bool


_STATUS = {
    Condition.FREE: ReserveStatus.ACCEPTED,
    Condition.OCCUPIED: ReserveStatus.OCCUPIED,
    Condition.UNAVAILABLE: ReserveStatus.UNAVAILABLE,
    Condition.FAULTED: ReserveStatus.FAULTED,
}


def active(reservations: Iterable[Reservation], now: datetime) -> tuple[Reservation, ...]:
    """Select the reservations that still hold, oldest number first."""
    return tuple(sorted((each for each in reservations if each.expires_at > now), key=lambda each: each.reservation_id))


def expired(reservations: Iterable[Reservation], now: datetime) -> tuple[Reservation, ...]:
    """Select the reservations that are over and whose connector becomes Available again."""
    return tuple(each for each in reservations if each.expires_at <= now)


def holds(reservation: Reservation, tag: str, parent: str | None) -> bool:
    """Return whether the tag, or its group, is the one the reservation is for."""
    if same_tag(reservation.id_tag, tag):
        return True
    return bool(reservation.parent_id_tag and parent) and same_tag(reservation.parent_id_tag or "", parent or "")


def check_reserve(
    wanted: Reservation,
    *,
    enabled: bool,
    zero_supported: bool,
    conditions: Mapping[int, Condition],
    reservations: Iterable[Reservation],
    now: datetime,
) -> ReserveStatus:
    """Return a ReserveNow.req; Accepted replaces a reservation of the same number.

    `conditions` has every connector and, as 0, the station itself; reserved connectors count as FREE there.
    """
    if not enabled or wanted.connector_id not in conditions:
        return ReserveStatus.REJECTED
    if wanted.connector_id == 0 and not zero_supported:
        return ReserveStatus.REJECTED
    others = [each for each in active(reservations, now) if each.reservation_id != wanted.reservation_id]
    # Whatever is wrong with the whole station is wrong with each of its connectors.
    for connector_id in (0, wanted.connector_id):
        if conditions.get(connector_id, Condition.FREE) is not Condition.FREE:
            return _STATUS[conditions[connector_id]]
    connectors = {each: condition for each, condition in conditions.items() if each != 0}
    free = [each for each, condition in connectors.items() if condition is Condition.FREE]
    if not free:
        return _status_of_all(connectors.values())
    if not _can_promise(wanted, others, free):
        return ReserveStatus.OCCUPIED
    # Last, because the condition of the connector says more than a clock that is not the backend's (section 5.13).
    return ReserveStatus.ACCEPTED if wanted.expires_at > now else ReserveStatus.REJECTED


def may_start(
    tag: str,
    parent: str | None,
    connector_id: int,
    *,
    reservations: Iterable[Reservation],
    free_connectors: Collection[int],
    now: datetime,
) -> Reservation | Refusal | None:
    """Return whether an authorised tag may start on a connector.

    A Reservation: yes, and it is used up by this start (StartTransaction carries its number). None: yes, no reservation
    is touched. A Refusal: no. `free_connectors` are those without a transaction that work, this one included.
    """
    present = active(reservations, now)
    blocking = [each for each in present if each.connector_id == connector_id]
    for each in blocking:
        if not holds(each, tag, parent):
            return _refuse(RefusalReason.CONNECTOR_RESERVED, each, parent)
    if blocking:
        return blocking[0]
    anywhere = [each for each in present if each.connector_id == 0]
    for each in anywhere:
        if holds(each, tag, parent):
            return each
    taken = {each.connector_id for each in present}
    remaining = [each for each in free_connectors if each != connector_id and each not in taken]
    if len(anywhere) > len(remaining):
        return _refuse(RefusalReason.LAST_CONNECTOR_RESERVED, anywhere[0], parent)
    return None


def reserved_connectors(
    reservations: Iterable[Reservation], free_connectors: Collection[int], now: datetime
) -> frozenset[int]:
    """Select the connectors that are kept for somebody: those reserved by number, and all when none is left over.

    A reservation of connector 0 keeps any one; with as many of them as there are free connectors each one is kept.
    `free_connectors` as for `may_start`: what is kept here is what it refuses to everybody else.
    """
    present = active(reservations, now)
    named = frozenset(each.connector_id for each in present) - {0}
    anywhere = sum(each.connector_id == 0 for each in present)
    others = frozenset(free_connectors) - named
    return named | others if anywhere and anywhere >= len(others) else named


def _refuse(reason: RefusalReason, reservation: Reservation, parent: str | None) -> Refusal:
    return Refusal(reason=reason, reservation=reservation, ask_parent=bool(reservation.parent_id_tag) and not parent)


def _can_promise(wanted: Reservation, others: Sequence[Reservation], free: Sequence[int]) -> bool:
    if wanted.connector_id != 0 and any(each.connector_id == wanted.connector_id for each in others):
        return False
    promises = [*others, wanted]
    named = {each.connector_id for each in promises} - {0}
    anywhere = sum(each.connector_id == 0 for each in promises)
    return anywhere <= sum(each not in named for each in free)


def _status_of_all(conditions: Collection[Condition]) -> ReserveStatus:
    for condition in (Condition.OCCUPIED, Condition.UNAVAILABLE):
        if condition in conditions:
            return _STATUS[condition]
    return ReserveStatus.FAULTED
