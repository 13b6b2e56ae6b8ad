"""The durable queue of what the backend must hear (OCPP 1.6 section 3.7)."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import BigIntegerField, Count, Min, Q

from station.domain import facts
from station.domain.commands import Origin, Status
from station.domain.facts import Fact
from station.domain.stamps import Stamp
from station.models import AuditEntry, ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus
from station.services import configuration, event_log

# A session waits for its end for a minute while its board is gone (`hardware.runtime.session_end`). If it takes longer,
# because current flows on or nothing can be written, its true moment is told, out of order: minutes are billed, too.
OVERLAP = timedelta(seconds=90)
# In `last_error` of a start that the backend has answered without the number of a transaction.
NO_NUMBER = "no transactionId"
# A lasting entry of the event log while anything is set aside.
SET_ASIDE_CODE = "backend.message.set_aside"
_ACTOR = "outbox"
_MAX_ERROR_LENGTH = 200


class OutsideTransaction(RuntimeError):
    """A message and its record must share one fate; there is no transaction around this call."""


def enqueue(fact: Fact, *, session: ChargingSession | None, at: Stamp, message_id: str | None = None) -> OutboxMessage:
    """Append a fact to the queue, in the same database transaction as the record it tells of; `at` is its moment.

    `message_id`: the unique id it is first sent under, where somebody else has to know it, too. The values of a session
    that has ended are not stored again: they are the session's rows of `MeterSample`.
    """
    if not connection.in_atomic_block:
        raise OutsideTransaction(type(fact).__name__)
    return OutboxMessage.objects.create(
        message_id=message_id or str(uuid.uuid4()),
        kind=facts.KINDS[type(fact)],
        fact=facts.encode(fact),
        session=session,
        at=at.at,
        boot_id=at.boot_id,
        steady_ms=at.steady_ms,
    )


def moment_in_order(at: Stamp) -> Stamp:
    """Return the moment a message of now may carry: never one before the message queued last.

    While one charging point waits for its final register the other one goes on writing; the backend must be able to
    trust that messages come in the order of their stamps (OCPP 1.6 section 3.7). Whether they overlap is told by the
    steady clock; the wall clock may have been set in between.
    """
    newest = OutboxMessage.objects.order_by("-id").only("at", "boot_id", "steady_ms").first()
    # Of another boot is what a power cut has ended: before it, whatever the clocks say.
    if newest is None or (at.steady_ms is not None and newest.boot_id != at.boot_id):
        return at
    return newest.stamp if timedelta() < newest.stamp.since(at) < OVERLAP else at


def owed() -> int:
    """Count the messages the backend has not confirmed yet."""
    return OutboxMessage.objects.filter(status__in=(OutboxStatus.PENDING, OutboxStatus.SENT)).count()


def most_refusals() -> int:
    """Return after how many refusals a message is set aside."""
    return max(configuration.get_int("TransactionMessageAttempts"), 1)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """What of one session (None: of none) the backend has not confirmed: how many messages, and since when."""

    session: ChargingSession | None
    count: int
    oldest_at: datetime


def waiting(most: int) -> list[Waiting]:
    """Return what waits, the oldest first, for so many sessions at most."""
    rows = OutboxMessage.objects.filter(status__in=(OutboxStatus.PENDING, OutboxStatus.SENT))
    groups = list(rows.values("session").annotate(count=Count("id"), oldest=Min("at")).order_by("oldest")[:most])
    sessions = ChargingSession.objects.in_bulk([each["session"] for each in groups if each["session"] is not None])
    return [
        Waiting(session=sessions.get(each["session"]), count=each["count"], oldest_at=each["oldest"]) for each in groups
    ]


def aside(most: int) -> list[OutboxMessage]:
    """Return what is set aside, with its session, in the order of sending."""
    rows = OutboxMessage.objects.filter(status=OutboxStatus.SET_ASIDE).select_related("session")
    return list(rows.order_by("session_id", "id")[:most])


@transaction.atomic
def set_aside(row: OutboxMessage, error: str, at: datetime) -> None:
    """Let the messages behind this one go on; it is kept for ever, and reported."""
    error = error[:_MAX_ERROR_LENGTH]
    OutboxMessage.objects.filter(id=row.pk).update(
        status=OutboxStatus.SET_ASIDE, last_error=error, next_attempt_at=None
    )
    told: dict[str, Any] = {"outbox_id": row.pk, "fact": row.kind, "session": row.session_id, "error": error}
    event_log.begin(SET_ASIDE_CODE, at=at, **told)
    _audit("SetMessageAside", origin=Origin.LOCAL, actor=_ACTOR, at=at, data=told)


@transaction.atomic
def send_again(*, origin: Origin, actor: str, at: datetime, ids: list[int] | None = None) -> int:
    """Queue what is set aside again (`ids`: only these and what belongs to their sessions); return how many messages.

    They go first and in their order. They were refused often enough to be held against only one more refusal, so that
    they do not hold up the messages behind them for long.
    """
    rows = OutboxMessage.objects.filter(status=OutboxStatus.SET_ASIDE)
    if ids is not None:
        # An address may name any number, and SQLite takes none beyond its own.
        ids = [each for each in ids if each <= BigIntegerField.MAX_BIGINT]
        sessions = rows.filter(id__in=ids, session__isnull=False).values("session")
        rows = rows.filter(Q(id__in=ids) | Q(session__in=list(sessions.values_list("session", flat=True))))
    count = rows.update(status=OutboxStatus.PENDING, refusals=most_refusals() - 1, next_attempt_at=None)
    if count:
        _audit("SendMessagesAgain", origin=origin, actor=actor, at=at, data={"messages": count, "ids": ids})
        note_nothing_aside(at)
    return count


def note_nothing_aside(at: datetime) -> None:
    """Close the entry of the event log when nothing is set aside any more."""
    if not set_aside_count():
        event_log.end(SET_ASIDE_CODE, at=at)


def set_aside_count() -> int:
    """Count the messages that are set aside."""
    return OutboxMessage.objects.filter(status=OutboxStatus.SET_ASIDE).count()


def _audit(command: str, *, origin: Origin, actor: str, at: datetime, data: dict[str, Any]) -> None:
    AuditEntry.objects.create(
        at=at, origin=origin, actor=actor, command=command, data=data, outcome=Status.ACCEPTED.value
    )
