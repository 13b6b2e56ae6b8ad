"""How the station stands with its backend right now: what the parts of the link share."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.registration import Registration
from station.domain.link_security import NO_LINK, LinkSecurity

# The connection over which the call came that this task answers; another one may stand by the time it is carried out.
link_of_call: ContextVar[LinkSecurity] = ContextVar("link_of_call", default=NO_LINK)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A new address is on trial: where the station goes back to, and in how many minutes at the latest."""

    back_to: str
    minutes: int


@dataclass(kw_only=True)
class ConnectionState:
    """Written by link and registration only. `flow` is set while messages of the station's own accord may go."""

    connected: bool = False
    link: LinkSecurity = NO_LINK
    since: datetime | None = None
    last_error: str = ""
    trial: Trial | None = None
    taken_back_url: str = ""
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
