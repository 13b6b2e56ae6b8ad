"""What several handlers do with a request."""

from datetime import datetime

from ocpp.exceptions import PropertyConstraintViolationError

from ocpp_client.incoming.handlers.context import BackendConnection
from ocpp_client.ports import ControlLoop
from station.domain.commands import Command, Outcome
from station.domain.moments import from_wire

COMMAND_WAIT_S = 4.0


class Commands:
    """Gives commands of the backend to the control loop."""

    def __init__(self, control_loop: ControlLoop, connection: BackendConnection) -> None:
        self._control_loop = control_loop
        self._connection = connection

    async def submit(self, command: Command, at: datetime) -> Outcome:
        """Give a command and wait for the outcome."""
        return await self._control_loop.submit(
            command, actor=self._connection.backend_host, at=at, wait_s=COMMAND_WAIT_S
        )


def check_date_time(name: str, text: str | None) -> datetime | None:
    """Read an optional field of the type dateTime; raises PropertyConstraintViolationError."""
    if text is None:
        return None
    try:
        return from_wire(text)
    except ValueError:
        raise PropertyConstraintViolationError(f"{name} is no dateTime") from None
