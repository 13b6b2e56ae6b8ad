"""The durable queue of transaction messages to the backend (OCPP 1.6 section 3.7)."""

import uuid
from datetime import datetime
from typing import Any

from django.db import connection

from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus


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


def owed() -> int:
    """Count the messages the backend has not confirmed yet."""
    return OutboxMessage.objects.filter(status__in=(OutboxStatus.PENDING, OutboxStatus.SENT)).count()
