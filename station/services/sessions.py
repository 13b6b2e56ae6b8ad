"""The verbs of charging sessions. Each writes the record and the message it causes in one transaction."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction

from station.domain.connector import Permission
from station.domain.meter_values import ReadingContext, thinned
from station.domain.moments import to_wire
from station.domain.units import WattHour
from station.models import ChargingProfileRow, ChargingSession, Connector, MeterSample, OutboxMessage, ReservationRow
from station.models.session import SessionQuerySet
from station.services import outbox

# What OutboxMessage.last_error holds when the backend has taken a start but not its card.
REFUSED_PREFIX = "idTagInfo:"
# Errata 3.91: a night of samples every second would make a frame of megabytes, which no backend takes.
MOST_STOP_VALUES = 250


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Sampled values of one moment in OCPP wire form."""

    at: datetime
    context: str
    values: list[dict[str, Any]]

    def meter_value(self) -> dict[str, Any]:
        """Make the meterValue element of MeterValues.req and transactionData."""
        return {"timestamp": to_wire(self.at), "sampledValue": self.values}


@transaction.atomic
def begin_session(
    *, connector_id: int, permission: Permission, meter: WattHour, at: datetime, begin_values: list[dict[str, Any]]
) -> ChargingSession:
    """Write a session, its StartTransaction, its TxProfile and the end of its reservation, durably.

    `begin_values` are kept for StopTransaction.transactionData (Transaction.Begin). Raises IntegrityError when a
    session runs on this connector already, and DatabaseError when nothing can be written.
    """
    at = outbox.moment_in_order(at)
    session = ChargingSession.objects.create(
        connector_id=connector_id,
        id_tag=permission.id_tag,
        parent_id_tag=permission.parent_id_tag,
        authorized_by=permission.reason,
        origin=permission.origin,
        reservation_id=permission.reservation_id,
        started_at=at,
        meter_start_wh=meter,
        meter_last_wh=meter,
        meter_last_at=at,
    )
    payload: dict[str, Any] = {
        "connectorId": connector_id,
        "idTag": permission.id_tag,
        "meterStart": meter,
        "timestamp": to_wire(at),
    }
    if permission.reservation_id is not None:
        payload["reservationId"] = permission.reservation_id
        ReservationRow.objects.filter(reservation_id=permission.reservation_id).delete()
    outbox.enqueue("StartTransaction", payload, session=session, at=at)
    if begin_values:
        MeterSample.objects.create(session=session, at=at, context="Transaction.Begin", values=begin_values)
    if permission.profile:
        _bind_profile(session, permission.profile, at)
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
    at: datetime,
    id_tag: str = "",
    transaction_data: list[dict[str, Any]] | None = None,
) -> ChargingSession | None:
    """Close a session and queue its StopTransaction; a session that is closed already is left as it is (None).

    A register below the start is never written: the start value stands, as the law forbids negative energy and the
    event log tells of the meter.
    """
    session = ChargingSession.objects.running().filter(pk=session_id).first()
    if session is None:
        return None
    at = outbox.moment_in_order(at)
    register = max(meter, session.meter_start_wh)
    session.end(wh=register, at=at, reason=reason, id_tag=id_tag)
    payload: dict[str, Any] = {"meterStop": register, "timestamp": to_wire(at), "reason": reason}
    if id_tag:
        payload["idTag"] = id_tag
    if transaction_data:
        payload["transactionData"] = transaction_data
    outbox.enqueue("StopTransaction", payload, session=session, at=at)
    session.profiles.all().delete()
    MeterSample.objects.filter(session=session).delete()
    return session


def close_session(
    session_id: int, *, reason: str, id_tag: str, at: datetime, meter: WattHour, end: list[dict[str, Any]]
) -> None:
    """End a session with the transaction data kept for it (OCPP 1.6 errata 3.14: begin and end always together)."""
    data = []
    if end:
        kept = [sample for sample in kept_samples(session_id) if sample.values]
        begin = [sample for sample in kept if sample.context == ReadingContext.TRANSACTION_BEGIN]
        between = thinned([sample for sample in kept if sample not in begin], MOST_STOP_VALUES)
        data = [sample.meter_value() for sample in (*begin, *between)]
        data.append({"timestamp": to_wire(at), "sampledValue": end})
    end_session(session_id, reason=reason, meter=meter, at=at, id_tag=id_tag, transaction_data=data)


@transaction.atomic
def record_meter_values(
    *, connector_id: int, session_id: int | None, sample: Sample, keep_for_stop: list[dict[str, Any]], register: int
) -> None:
    """Queue a MeterValues message; inside a session also remember the register and what StopTransaction will carry."""
    sample = replace(sample, at=outbox.moment_in_order(sample.at))
    session = ChargingSession.objects.running().filter(pk=session_id).first() if session_id else None
    if sample.values:
        outbox.enqueue(
            "MeterValues",
            {"connectorId": connector_id, "meterValue": [sample.meter_value()]},
            session=session,
            at=sample.at,
        )
    if session is not None:
        if keep_for_stop:
            MeterSample.objects.create(session=session, at=sample.at, context=sample.context, values=keep_for_stop)
        if register >= session.meter_last_wh:
            session.note_meter(wh=register, at=sample.at)


def note_meter(session_id: int, *, register: int, at: datetime) -> None:
    """Remember the newest register of a running session."""
    session = ChargingSession.objects.running().filter(pk=session_id, meter_last_wh__lte=register).first()
    if session is not None:
        session.note_meter(wh=register, at=at)


def kept_samples(session_id: int) -> list[Sample]:
    """Read what was kept for StopTransaction, oldest first."""
    rows = MeterSample.objects.filter(session_id=session_id).order_by("at", "id")
    return [Sample(at=row.at, context=row.context, values=row.values) for row in rows]


def running(session_id: int) -> SessionQuerySet:
    """Select a session if it still runs."""
    return ChargingSession.objects.running().filter(pk=session_id)


def store_parent(session_id: int, parent: str) -> None:
    """Write down the group the backend has told."""
    running(session_id).update(parent_id_tag=parent)


def store_refusal(session_id: int, at: datetime, ceiling_wh: int | None) -> None:
    """Write down that the backend refuses the card, and up to which register it may still draw (None: no further)."""
    running(session_id).update(deauthorized_at=at, energy_allowed_wh=ceiling_wh)


def answered_start(session_id: int) -> tuple[int, str] | None:
    """Find the backend's answer to a running session's StartTransaction: its number and the status of the card."""
    row = running(session_id).first()
    if row is None or row.transaction_id is None:
        return None
    start = OutboxMessage.objects.filter(session_id=session_id, action="StartTransaction").first()
    refused = start is not None and start.last_error.startswith(REFUSED_PREFIX)
    return row.transaction_id, start.last_error.removeprefix(REFUSED_PREFIX) if start and refused else "Accepted"


def by_transaction(transaction_id: int) -> ChargingSession | None:
    """Find the running session of a backend's transaction number."""
    return ChargingSession.objects.running().filter(transaction_id=transaction_id).order_by("-id").first()


def stop_is_queued(session_id: int) -> bool:
    """Whether a StopTransaction of this session has been written before."""
    return OutboxMessage.objects.filter(session_id=session_id, action="StopTransaction").exists()


def connector(number: int) -> Connector:
    """Read the row of a connector, making it on first use."""
    row, _ = Connector.objects.get_or_create(number=number)
    return row
