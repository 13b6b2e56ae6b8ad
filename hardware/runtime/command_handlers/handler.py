"""What a handler of commands is."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from station.domain.commands import Command, Outcome, Status

ACCEPTED = Outcome(status=Status.ACCEPTED)

# Carries out a command that came from an origin.
Handler = Callable[[Any, str], Awaitable[Outcome]]


class CommandHandlers(Protocol):
    """The handlers of one subject."""

    @property
    def handlers(self) -> Mapping[type[Command], Handler]:
        """The handler of each command."""
