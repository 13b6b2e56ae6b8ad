"""The receiving side of commands: carried out or refused, answered, and written to the audit trail."""

import json
import logging
from collections.abc import Sequence
from typing import Any

from django.db import DatabaseError
from redis.exceptions import RedisError

from hardware.runtime.command_handlers.handler import CommandHandlers
from hardware.runtime.records import RecordStore
from hardware.runtime.state import StationState
from station import clock
from station.domain.commands import Outcome, Refusal, rejected
from station.domain.stamps import TOLERANCE
from station.services import event_log
from station.services.commands import REPLY_LIFE_S, Envelope

logger = logging.getLogger(__name__)


class CommandDispatcher:
    """Finds the handler of a command."""

    def __init__(
        self, state: StationState, records: RecordStore, redis: Any, subjects: Sequence[CommandHandlers]
    ) -> None:
        self._state = state
        self._records = records
        self._redis = redis
        self._handlers = {command: handler for each in subjects for command, handler in each.handlers.items()}

    async def take(self, envelope: Envelope) -> None:
        """Carry a command out, answer whoever asked and leave the audit entry."""
        await self._state.until_recovered()
        outcome = await self._carry_out(envelope)
        try:
            await self._redis.rpush(envelope.reply_key, json.dumps(outcome.encode()))
            await self._redis.expire(envelope.reply_key, REPLY_LIFE_S)
        except (RedisError, OSError):
            logger.info("nobody can hear the answer to a command")
        await self._records.attempt(event_log.audit, envelope, outcome)

    async def _carry_out(self, envelope: Envelope) -> Outcome:
        # One that was sent in the future has been waiting since before the clock was set back, nobody knows how long.
        if not envelope.sent_at - TOLERANCE <= clock.now() <= envelope.expires_at:
            return rejected(Refusal.TOO_LATE)
        try:
            return await self._handlers[type(envelope.command)](envelope.command, envelope.origin.value)
        except DatabaseError as error:
            self._records.report_failure(error)
            return rejected(Refusal.RECORDS_UNWRITABLE)
