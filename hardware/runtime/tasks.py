"""The Celery tasks of the queue `hardware`: they hand over to the control loop and return at once."""

import logging
from typing import Any

from hardware.runtime import bootstep
from station.celery import app
from station.domain.commands import CommandUnknown
from station.services.commands import COMMAND_TASK, Envelope
from station.services.messages import INFORM_TASK, MessageMalformed, decode_for_control_loop

logger = logging.getLogger(__name__)


@app.task(name=COMMAND_TASK)  # type: ignore[untyped-decorator]
def command(*, envelope: dict[str, Any]) -> None:
    """Hand a command to the control loop, which answers by itself."""
    try:
        decoded = Envelope.decode(envelope)
    except (CommandUnknown, KeyError, ValueError, TypeError):
        logger.warning("a command was not understood: %s", str(envelope)[:200])
        return
    bootstep.loop().submit(lambda control_loop: control_loop.command(decoded))


@app.task(name=INFORM_TASK)  # type: ignore[untyped-decorator]
def inform(*, message: dict[str, Any]) -> None:
    """Hand a message of another process to the control loop."""
    try:
        decoded = decode_for_control_loop(message)
    except MessageMalformed:
        logger.exception("a message was not understood")
        return
    bootstep.loop().submit(lambda control_loop: control_loop.informed(decoded))
