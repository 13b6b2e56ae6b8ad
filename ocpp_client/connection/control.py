"""What others may do with the connection they work over."""

from ocpp_client.connection.connection import Connection
from ocpp_client.connection.heartbeat import Heartbeat
from ocpp_client.connection.state import ConnectionState, link_of_call
from station.domain.link_security import LinkSecurity


class ConnectionControl:
    """The connection as handlers and the change detector see it."""

    def __init__(self, state: ConnectionState, connection: Connection, heartbeat: Heartbeat) -> None:
        self._state = state
        self._connection = connection
        self._heartbeat = heartbeat

    @property
    def backend_host(self) -> str:
        """Who is at the other end."""
        endpoint = self._state.endpoint
        return endpoint.host if endpoint else ""

    @property
    def link_of_call(self) -> LinkSecurity:
        """What is known of the connection over which the call came that is being answered."""
        return link_of_call.get()

    def reconnect(self) -> None:
        """Close and connect anew: address or credentials have changed."""
        self._connection.reconnect()

    def restart_timers(self) -> None:
        """Take changed intervals into use at once."""
        self._heartbeat.restart()
        self._connection.restart_pings()
