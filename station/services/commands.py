"""The one door for commands: permission, audit, a deadline, and the controller's answer.

A command travels as a Celery task on the queue `hardware` and expires instead of acting late. The control loop leaves
the audit entry together with the outcome and answers over a Redis list of its own name that lives for seconds.
"""

import asyncio
import json
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from station import clock
from station.domain import commands
from station.domain.commands import Command, Origin, Outcome, Refusal, Status
from station.services import messages

COMMAND_TASK = "hardware.command"
DEFAULT_WAIT_S = 5.0
# The answer outlives the waiting only so that a slow reader still finds it; then Redis forgets it.
REPLY_LIFE_S = 30
_NO_ANSWER = Outcome(status=Status.NO_ANSWER, reason=Refusal.HARDWARE_ABSENT)


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """A command on its way: who sent it, until when it may act, where the answer is awaited."""

    request_id: str
    command: Command
    origin: Origin
    actor: str
    sent_at: datetime
    expires_at: datetime

    @property
    def reply_key(self) -> str:
        return f"reply:{self.request_id}"

    def encode(self) -> dict[str, Any]:
        """Make the JSON form."""
        return {
            "request_id": self.request_id,
            "command": commands.encode(self.command),
            "origin": self.origin.value,
            "actor": self.actor,
            "sent_at": self.sent_at.isoformat(),
            "expires_at": self.expires_at.isoformat(),
        }

    @classmethod
    def decode(cls, raw: dict[str, Any]) -> "Envelope":
        """Read the JSON form; raises CommandUnknown, KeyError or ValueError."""
        return cls(
            request_id=raw["request_id"],
            command=commands.decode(raw["command"]),
            origin=Origin(raw["origin"]),
            actor=raw["actor"],
            sent_at=datetime.fromisoformat(raw["sent_at"]),
            expires_at=datetime.fromisoformat(raw["expires_at"]),
        )


def _envelope(command: Command, origin: Origin, actor: str, at: datetime, wait_s: float) -> Envelope:
    return Envelope(
        request_id=str(uuid.uuid4()),
        command=command,
        origin=origin,
        actor=actor,
        sent_at=at,
        expires_at=at + timedelta(seconds=wait_s),
    )


def submit_command(
    command: Command, *, origin: Origin, actor: str, at: datetime, wait_s: float = DEFAULT_WAIT_S
) -> Outcome:
    """Hand a command to the control loop and wait for its answer.

    Return `NO_ANSWER` when the hardware process or Redis is away; the command has then expired and will not act.
    """
    from station.celery import HARDWARE_QUEUE

    envelope = _envelope(command, origin, actor, at, wait_s)
    try:
        messages.post_task(COMMAND_TASK, queue=HARDWARE_QUEUE, kwargs={"envelope": envelope.encode()}, expires_s=wait_s)
        answer = _await_reply(envelope.reply_key, wait_s)
    except (OperationalError, RedisError, OSError):
        return _NO_ANSWER
    return Outcome.decode(json.loads(answer)) if answer else _NO_ANSWER


def _await_reply(key: str, wait_s: float) -> str | None:
    """Wait for the control loop's reply in pieces, so that a Redis that hangs is noticed."""
    from station.services import redis

    deadline_s = clock.monotonic_s() + wait_s
    while (remaining_s := deadline_s - clock.monotonic_s()) > 0:
        found = redis.client().blpop([key], timeout=min(remaining_s, redis.LONGEST_BLOCK_S))
        if found:
            return str(found[1])
    return None


async def submit_command_async(
    command: Command, *, origin: Origin, actor: str, at: datetime, wait_s: float = DEFAULT_WAIT_S
) -> Outcome:
    """Do the same as `submit_command` from an event loop, in a thread of its own."""
    return await asyncio.to_thread(submit_command, command, origin=origin, actor=actor, at=at, wait_s=wait_s)
