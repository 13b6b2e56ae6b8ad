"""The durable queue of what the backend must hear (OCPP 1.6 section 3.7)."""

import uuid
from datetime import datetime, timedelta

from django.db import connection

from station.domain import facts
from station.domain.facts import Fact
from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus

# What was under way for longer than this did not overlap another message: then the clock has been set back.
OVERLAP = timedelta(seconds=30)


class OutsideTransactionError(RuntimeError):
    """A message and its record must share one fate; there is no transaction around this call."""


def enqueue(fact: Fact, *, session: ChargingSession | None) -> OutboxMessage:
    """Append a fact to the queue, in the same database transaction as the record it tells of.

    The values of a session that has ended are not stored again: they are the session's rows of `MeterSample`.
    """
    if not connection.in_atomic_block:
        raise OutsideTransactionError(type(fact).__name__)
    return OutboxMessage.objects.create(
        message_id=str(uuid.uuid4()),
        kind=facts.KINDS[type(fact)],
        fact=facts.encode(fact),
        session=session,
        at=fact.at,
    )


def moment_in_order(at: datetime) -> datetime:
    """Return the moment a message of now may carry: never one before the message queued last.

    While one charging point waits for its final register the other one goes on writing; the backend must be able to
    trust that messages come in the order of their stamps (OCPP 1.6 section 3.7).
    """
    newest = OutboxMessage.objects.order_by("-id").values_list("at", flat=True).first()
    return newest if newest is not None and at < newest < at + OVERLAP else at


def owed() -> int:
    """Count the messages the backend has not confirmed yet."""
    return OutboxMessage.objects.filter(status__in=(OutboxStatus.PENDING, OutboxStatus.SENT)).count()
