"""How the station stands with its backend right now: what the parts of the link share."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime

from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.registration import Registration


@dataclass(kw_only=True)
class ConnectionState:
    """Written by link and registration only. `flow` is set while messages of the station's own accord may go."""

    connected: bool = False
    since: datetime | None = None
    last_error: str = ""
    endpoint: Endpoint | None = None
    registration: Registration = field(default_factory=Registration)
    flow: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def online(self) -> bool:
        """Whether the backend can be asked: connected and accepted."""
        return self.connected and self.registration.may_call

    def note_change(self) -> None:
        """Have the new state published."""
        self.changed.set()
