"""The durable queue of transaction messages to the backend (OCPP 1.6 section 3.7)."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus

# What was under way for longer than this did not overlap another message: then the clock has been set back.
OVERLAP = timedelta(seconds=30)


class OutsideTransactionError(RuntimeError):
    """A message and its record must share one fate; there is no transaction around this call."""


def enqueue(action: str, payload: dict[str, Any], *, session: ChargingSession | None, at: datetime) -> OutboxMessage:
    """Append a message to the queue, in the same database transaction as the record it tells of.

    `payload` must not contain `transactionId` when `session` is given: it is filled in when the message is sent.
    """
    if not connection.in_atomic_block:
        raise OutsideTransactionError(action)
    return OutboxMessage.objects.create(
        message_id=str(uuid.uuid4()), action=action, payload=payload, session=session, created_at=at
    )


def moment_in_order(at: datetime) -> datetime:
    """Return the moment a message of now may carry: never one before the message queued last.

    While one charging point waits for its final register the other one goes on writing; the backend must be able to
    trust that messages come in the order of their stamps (OCPP 1.6 section 3.7).
    """
    newest = OutboxMessage.objects.order_by("-id").values_list("created_at", flat=True).first()
    return newest if newest is not None and at < newest < at + OVERLAP else at


def owed() -> int:
    """Count the messages the backend has not confirmed yet."""
    return OutboxMessage.objects.filter(status__in=(OutboxStatus.PENDING, OutboxStatus.SENT)).count()
