"""The verbs of charging sessions. Each writes the record and the fact it causes in one transaction."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.db import transaction
from django.db.models import F, Max, QuerySet, Value, Window
from django.db.models.functions import Mod, RowNumber

from station.domain import facts
from station.domain.authorization import AuthorizationStatus
from station.domain.connector import Permission
from station.domain.facts import FactKind, MeterSampled, SessionBegan, SessionEnded
from station.domain.meter_values import Measurand, MeterValue, ReadingContext
from station.domain.stamps import TOLERANCE, Stamp
from station.domain.units import WattHour
from station.models import ChargingProfileRow, ChargingSession, Connector, MeterSample, OutboxMessage, ReservationRow
from station.models.session import SessionQuerySet
from station.services import event_log, outbox

# What OutboxMessage.last_error begins with when the backend does not accept the card of a start; the status follows,
# and behind a comma what else there is to say.
REFUSED_PREFIX = "idTagInfo:"
# Errata 3.91: a night of samples every second would make a frame of megabytes, which no backend takes. A sampled value
# takes some 150 bytes of it.
MOST_STOP_VALUES = 250
MOST_STOP_QUANTITIES = 2_000


@transaction.atomic
def begin_session(
    *,
    connector_id: int,
    permission: Permission,
    meter: WattHour,
    at: Stamp,
    begin: MeterValue | None,
    meter_serial: str = "",
    signed_begin: int | None = None,
    message_id: str | None = None,
    told: MeterValue | None = None,
) -> ChargingSession:
    """Write a session, the fact of its begin, its TxProfile and the end of its reservation, durably.

    `begin` is kept to be told with the end, `told` is told at once. `signed_begin`: its row in the archive of signed
    meter data, which knows the `message_id` of the begin, too. Raises IntegrityError when a session runs on this
    connector already, and DatabaseError when nothing can be written.
    """
    at = outbox.moment_in_order(at)
    session = ChargingSession.objects.create(
        connector_id=connector_id,
        id_tag=permission.id_tag,
        parent_id_tag=permission.parent_id_tag,
        authorized_by=permission.reason,
        origin=permission.origin,
        reservation_id=permission.reservation_id,
        started_at=at.at,
        started_boot_id=at.boot_id,
        started_steady_ms=at.steady_ms,
        meter_start_wh=meter,
        meter_last_wh=meter,
        meter_last_at=at.at,
        meter_last_boot_id=at.boot_id,
        meter_last_steady_ms=at.steady_ms,
        meter_serial=meter_serial,
        signed_begin=signed_begin,
    )
    if permission.reservation_id is not None:
        ReservationRow.objects.filter(reservation_id=permission.reservation_id).delete()
    fact = SessionBegan(
        at=at.at,
        connector_id=connector_id,
        id_tag=permission.id_tag,
        register=meter,
        reservation_id=permission.reservation_id,
    )
    outbox.enqueue(fact, session=session, at=at, message_id=message_id)
    if told is not None:
        outbox.enqueue(MeterSampled(connector_id=connector_id, value=told), session=session, at=at)
    if begin is not None:
        keep_value(session, begin, at)
    if permission.profile:
        _bind_profile(session, permission.profile, at.at)
    return session


def _bind_profile(session: ChargingSession, profile: dict[str, Any], at: datetime) -> None:
    ChargingProfileRow.objects.filter(
        connector_id=session.connector_id, purpose="TxProfile", stack_level=profile["stackLevel"]
    ).delete()
    ChargingProfileRow.objects.create(
        connector_id=session.connector_id,
        profile_id=profile["chargingProfileId"],
        purpose="TxProfile",
        stack_level=profile["stackLevel"],
        profile=profile,
        session=session,
        installed_at=at,
    )


@transaction.atomic
def end_session(
    session_id: int,
    *,
    reason: str,
    meter: WattHour,
    at: Stamp,
    id_tag: str = "",
    end: MeterValue | None = None,
    limited_by: Mapping[str, int] = MappingProxyType({}),
    is_signed: bool = False,
    owes_signed_end: bool = False,
) -> ChargingSession | None:
    """Close a session and queue the fact of its end; a session that is closed already is left as it is (None).

    `end` is told together with what was kept from the begin on (OCPP 1.6 errata 3.14); without it nothing is. The
    final register is never below the first one or one that was noted or told: a meter that is silent, or tells less
    after a restart, must not make energy unpaid. One that is signed (`is_signed`) is the truth, whatever was noted.
    `owes_signed_end`: its meter signs, and has not signed yet; `take_late_end` tells it when it is found. The end is
    never before the begin, whatever the clock says.
    """
    session = ChargingSession.objects.running().filter(pk=session_id).first()
    if session is None:
        return None
    # What was written down has been corrected if the clock was set since; what the caller remembers has not.
    at = outbox.moment_in_order(session.stop_requested or at)
    # Whatever has become of the clock in between, the steady one knows how long the session was.
    by_steady_clock = session.started_at + max(at.since(session.started), timedelta())
    if at.at < session.started_at or abs(by_steady_clock - at.at) > TOLERANCE:
        at = replace(at, at=by_steady_clock)
    noted = session.meter_start_wh if is_signed else max(session.meter_start_wh, session.meter_last_wh)
    register = WattHour(max(meter, noted))
    session.end(
        wh=register,
        at=at,
        reason=reason,
        id_tag=id_tag,
        limited_by=limited_by,
        owes_signed_end=owes_signed_end,
    )
    fact = SessionEnded(at=at.at, register=register, reason=reason, id_tag=id_tag)
    outbox.enqueue(fact, session=session, at=at)
    session.profiles.all().delete()
    if end is None:
        MeterSample.objects.filter(session=session).delete()
    else:
        _thin_samples(session)
        keep_value(session, _with_register(end, register), at)
    return session


def has_begun_with(signed_begin: int) -> bool:
    """Return whether there is a session that began with this row of the archive of signed meter data."""
    return ChargingSession.objects.filter(signed_begin=signed_begin).exists()


def owing_signed_ends(connector_id: int) -> list[int]:
    """Return the begins, in the archive, of sessions that were closed without a signed end and have not told one."""
    owing = ChargingSession.objects.filter(owes_signed_end=True, connector_id=connector_id)
    return [begin for begin in owing.order_by("pk").values_list("signed_begin", flat=True) if begin is not None]


@transaction.atomic
def take_late_end(signed_begin: int, *, told: MeterValue | None, at: Stamp) -> int | None:
    """Tell the signed end of a session that was closed without it; return which one.

    None: there is none that owes it, because it is not closed yet, or because this was done already. It goes with the
    end that waits to be sent, or behind one that was. What was billed is not touched.
    """
    session = ChargingSession.objects.filter(signed_begin=signed_begin, owes_signed_end=True).first()
    if session is None:
        return None
    session.note_signed_end()
    # With the message, not after it: whoever is told by one of them is told by the other.
    event_log.log("signing.end_found", at=at.at, connector_id=session.connector_id, session_id=session.pk)
    if told is not None:
        at = outbox.moment_in_order(at)
        told = replace(told, at=at.at)
        unsent = OutboxMessage.objects.filter(session=session, kind=FactKind.SESSION_ENDED, attempts=0)
        if unsent.exists():
            keep_value(session, told, at)
        else:
            outbox.enqueue(MeterSampled(connector_id=session.connector_id, value=told), session=session, at=at)
    return session.pk


def _with_register(value: MeterValue, register: WattHour) -> MeterValue:
    """Let a value tell the register the session ends with."""
    quantities = tuple(
        replace(each, value=register) if each.measurand is Measurand.ENERGY else each for each in value.quantities
    )
    return replace(value, quantities=quantities)


def keep_value(session: ChargingSession, value: MeterValue, at: Stamp) -> None:
    """Keep a meter value to be told with the end of its session."""
    MeterSample.objects.create(
        session=session,
        at=at.at,
        boot_id=at.boot_id,
        steady_ms=at.steady_ms,
        context=value.context,
        quantities=facts.encode_quantities(value.quantities),
        signed=None if value.signed is None else facts.encode_signed(value.signed),
    )


def _thin_samples(session: ChargingSession) -> None:
    """Drop every second value in between until the rest fits into one message (OCPP 1.6 errata 3.91).

    The values themselves stay in the database: a night of samples every second would fill the memory. Signed ones are
    never dropped.
    """
    rows = MeterSample.objects.filter(session=session, signed__isnull=True)
    between = rows.exclude(context=ReadingContext.TRANSACTION_BEGIN)
    count, keep_every = between.count(), 1
    while count // keep_every > MOST_STOP_VALUES:
        keep_every *= 2
    if keep_every > 1:
        _keep_every(keep_every, between)
    while sum(len(each) for each in between.values_list("quantities", flat=True)) > MOST_STOP_QUANTITIES:
        _keep_every(2, between)


def _keep_every(nth: int, rows: QuerySet[MeterSample]) -> None:
    number = Window(RowNumber(), order_by=F("id").asc())
    dropped = rows.annotate(number=number).annotate(rest=Mod("number", Value(nth))).filter(rest__gt=0)
    MeterSample.objects.filter(id__in=dropped.values("id")).delete()


@transaction.atomic
def record_meter_values(
    *,
    connector_id: int,
    session_id: int | None,
    context: ReadingContext,
    at: Stamp,
    register: int,
    told: MeterValue | None,
    kept: MeterValue | None,
    limited_by: Mapping[str, int] = MappingProxyType({}),
) -> bool:
    """Queue a meter value; inside a session also remember the register and what its end will tell. Return True.

    Each context remembers the register of its last sample: the next one tells what flowed since (OCPP 1.6 errata 3.78).
    """
    at = outbox.moment_in_order(at)
    session = ChargingSession.objects.running().filter(pk=session_id).first() if session_id else None
    if told is not None:
        fact = MeterSampled(connector_id=connector_id, value=replace(told, at=at.at))
        outbox.enqueue(fact, session=session, at=at)
    if session is not None:
        if kept is not None:
            keep_value(session, kept, at)
        session.note_sample(
            wh=register, at=at, periodic=context is ReadingContext.SAMPLE_PERIODIC, limited_by=limited_by
        )
    if context is ReadingContext.SAMPLE_CLOCK:
        Connector.objects.filter(number=connector_id).update(aligned_wh=register)
    return True


def note_meter(
    session_id: int, *, register: int, at: Stamp, limited_by: Mapping[str, int] = MappingProxyType({})
) -> None:
    """Remember the newest register of a running session, and what has limited it so far, in one write."""
    session = ChargingSession.objects.running().filter(pk=session_id, meter_last_wh__lte=register).first()
    if session is not None:
        session.note_meter(wh=register, at=at, limited_by=limited_by)


def started_at(session_id: int) -> datetime | None:
    """Read when a session began."""
    return ChargingSession.objects.filter(pk=session_id).values_list("started_at", flat=True).first()


def kept_values(session_id: int) -> tuple[MeterValue, ...]:
    """Read what the end of a session tells, in the order in which it was measured; raises FactUnreadable."""
    rows = MeterSample.objects.filter(session_id=session_id).order_by("id")
    return tuple(facts.decode_value(row.at, row.context, row.quantities, row.signed) for row in rows)


def forget_values(session_id: int) -> None:
    """Delete what was kept for the end of a session, once the backend has taken it."""
    MeterSample.objects.filter(session_id=session_id).delete()


def running(session_id: int) -> SessionQuerySet:
    """Select a session if it still runs."""
    return ChargingSession.objects.running().filter(pk=session_id)


def store_parent(session_id: int, parent: str) -> None:
    """Store the group the backend has sent."""
    running(session_id).update(parent_id_tag=parent)


def request_stop(session_id: int, *, reason: str, id_tag: str, at: Stamp) -> None:
    """Write down, once, that a session was stopped: from now on it is only brought to its end."""
    running(session_id).filter(stop_requested_at=None).update(
        stop_requested_at=at.at,
        stopped_boot_id=at.boot_id,
        stopped_steady_ms=at.steady_ms,
        stop_reason=reason,
        stop_id_tag=id_tag,
    )


def store_refusal(session_id: int, at: datetime, ceiling_wh: int | None) -> None:
    """Store, once, that the backend refuses the card, and up to which register it may still draw (None: no further)."""
    running(session_id).filter(deauthorized_at=None).update(deauthorized_at=at, energy_allowed_wh=ceiling_wh)


def end_allowance(session_id: int) -> None:
    """Store that a refused card has drawn what it was still allowed."""
    running(session_id).update(energy_allowed_wh=None)


def answered_start(session_id: int) -> tuple[int | None, AuthorizationStatus] | None:
    """Find the backend's answer to a running session's StartTransaction: its number and the status of the card.

    A refusal may have come without a number.
    """
    row = running(session_id).first()
    if row is None:
        return None
    start = OutboxMessage.objects.filter(session_id=session_id, kind=FactKind.SESSION_BEGAN).first()
    if start is not None and start.last_error.startswith(REFUSED_PREFIX):
        return row.transaction_id, status_in_error(start.last_error)
    return None if row.transaction_id is None else (row.transaction_id, AuthorizationStatus.ACCEPTED)


def status_in_error(error: str) -> AuthorizationStatus:
    """Read the status of the card that `OutboxMessage.last_error` holds behind REFUSED_PREFIX."""
    return AuthorizationStatus(error.removeprefix(REFUSED_PREFIX).partition(",")[0])


def by_transaction(transaction_id: int) -> ChargingSession | None:
    """Find the running session of a backend's transaction number."""
    return ChargingSession.objects.running().filter(transaction_id=transaction_id).order_by("-id").first()


def newest_signed_begin() -> int:
    """Return the newest row of the archive that a session has begun with; 0: none."""
    return ChargingSession.objects.aggregate(newest=Max("signed_begin"))["newest"] or 0


def stop_is_queued(session_id: int) -> bool:
    """Whether a StopTransaction of this session has been written before."""
    return OutboxMessage.objects.filter(session_id=session_id, kind=FactKind.SESSION_ENDED).exists()
