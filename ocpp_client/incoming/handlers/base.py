"""What every handler of a backend call gets and gives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ocpp_client.rpc.frames import ErrorCode
from station.domain.commands import Command, Outcome
from station.domain.moments import from_wire

if TYPE_CHECKING:
    from ocpp_client.link import BackendLink

Payload = dict[str, Any]
After = Callable[[], Awaitable[None]]
COMMAND_WAIT_S = 4.0


class CallRefused(Exception):
    """The call is answered with a CALLERROR."""

    def __init__(self, code: ErrorCode, description: str = "") -> None:
        super().__init__(description)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer; `after` runs once it has left."""

    payload: Payload = field(default_factory=dict)
    after: After | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """A call of the backend, valid by its schema."""

    link: "BackendLink"
    payload: Payload
    at: datetime

    @property
    def actor(self) -> str:
        """Who asks: the backend's host name."""
        endpoint = self.link.state.endpoint
        return endpoint.host if endpoint else ""

    async def submit(self, command: Command) -> Outcome:
        """Give a command to the control loop and wait for its answer."""
        return await self.link.environment.control_loop.submit(
            command, actor=self.actor, at=self.at, wait_s=COMMAND_WAIT_S
        )

    def moment(self, name: str, *, within: str | None = None) -> datetime | None:
        """Read an optional dateTime field, perhaps `within` another one; raises CallRefused."""
        text = (self.payload if within is None else self.payload[within]).get(name)
        if text is None:
            return None
        try:
            return from_wire(text)
        except ValueError:
            raise CallRefused(ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, f"{name} is no dateTime") from None


Handler = Callable[[Request], Awaitable[Reply]]


def status(value: str, *, after: After | None = None) -> Reply:
    """Answer with the one field `status`."""
    return Reply(payload={"status": value}, after=after)
