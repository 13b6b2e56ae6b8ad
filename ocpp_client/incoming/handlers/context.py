"""What handlers may ask of the rest of the connection."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, Protocol

from ocpp_client.ports import ControlLoop, FileJobs, LiveSnapshots, LocalList
from station.domain.link_security import LinkSecurity


class BackendConnection(Protocol):
    """The connection a call came over."""

    @property
    def backend_host(self) -> str: ...
    @property
    def link_of_call(self) -> LinkSecurity: ...

    def reconnect(self) -> None:
        """Close and connect anew: address or credentials have changed."""

    def restart_timers(self) -> None:
        """Take changed intervals into use at once."""


class Calls(Protocol):
    """The station's own calls."""

    def call(self, message: Any) -> Awaitable[dict[str, Any]]:
        """Send a message of `ocpp.v16.call`; raises NotDelivered."""


class Registration(Protocol):
    """The registration at the backend."""

    @property
    def may_trigger_boot(self) -> bool: ...

    def trigger_boot(self) -> Awaitable[None]:
        """Send BootNotification because the backend has asked for it."""


class Statuses(Protocol):
    """The statuses of the connectors."""

    def report(self, connector_id: int | None) -> Awaitable[None]:
        """Tell the status of one connector (None: of all)."""


class Heartbeat(Protocol):
    """The heartbeat."""

    def send(self) -> Awaitable[None]: ...


class Outbox(Protocol):
    """The messages about transactions."""

    def settled(self) -> Awaitable[None]:
        """Wait until an answer that has come is written down."""


@dataclass(frozen=True, kw_only=True)
class HandlerContext:
    """Everything handlers are made of; each takes only what it needs."""

    connection: BackendConnection
    calls: Calls
    registration: Registration
    statuses: Statuses
    heartbeat: Heartbeat
    outbox: Outbox
    control_loop: ControlLoop
    snapshots: LiveSnapshots
    local_list: LocalList
    file_jobs: FileJobs
