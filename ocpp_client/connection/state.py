"""How the station stands with its backend right now: what the parts of the link share."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime

from ocpp_client.connection.attempt import Attempt
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.registration import Registration
from station.domain.backend_ladder import Observation, Registered
from station.domain.link_security import NO_LINK, LinkSecurity

# The connection over which the call came that this task answers; another one may stand by the time it is carried out.
link_of_call: ContextVar[LinkSecurity] = ContextVar("link_of_call", default=NO_LINK)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A new address is on trial: where the station goes back to, and in how many minutes at the latest."""

    back_to: str
    minutes: int


@dataclass(kw_only=True)
class Acceptance:
    """That the backend has accepted the station, over one connection: it holds until either is over.

    `full`: what follows from an acceptance has not been done since the backend's last one.
    """

    full: bool
    _is_over: bool = False

    def holds(self) -> bool:
        """Whether the station may still send what it likes over that connection."""
        return not self._is_over

    def end(self) -> None:
        """Note that the connection is gone or the backend has said something else."""
        self._is_over = True


@dataclass(kw_only=True)
class ConnectionState:
    """Written by link, registration and heartbeat only. `flow` is set while the station may send of its own accord.

    `has_begun`: all that follows from the backend's last acceptance was done, over whichever connection.

    `attempt` is the one that stands or was the last, `failed` the last that failed; `checked` and `tried` are what
    somebody at the station wanted to know. `boot_ms`, `interval_s` and `answered_at` are of the connection that stands:
    how long BootNotification took, and the heartbeat that counts and was answered last.
    """

    connected: bool = False
    link: LinkSecurity = NO_LINK
    since: datetime | None = None
    last_error: str = ""
    trial: Trial | None = None
    taken_back_url: str = ""
    attempt: Attempt | None = None
    failed: Observation | None = None
    checked: Observation | None = None
    tried: Observation | None = None
    tried_id: str = ""
    boot_ms: int | None = None
    interval_s: int | None = None
    answered_at: datetime | None = None
    endpoint: Endpoint | None = None
    registration: Registration = field(default_factory=Registration)
    has_begun: bool = False
    flow: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def online(self) -> bool:
        """Whether the backend can be asked: connected and accepted."""
        return self.connected and self.registration.may_call

    @property
    def registered(self) -> Registered | None:
        """How the registration over the connection that stands goes."""
        if not self.connected:
            return None
        return Registered(
            phase=self.registration.phase.value,
            boot_ms=self.boot_ms,
            interval_s=self.interval_s,
            answered_at=self.answered_at,
        )

    def note_change(self) -> None:
        """Have the new state published."""
        self.changed.set()
