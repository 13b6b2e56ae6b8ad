"""What others may do with the connection they work over."""

from ocpp_client.connection.connection import Connection
from ocpp_client.connection.heartbeat import Heartbeat
from ocpp_client.connection.state import ConnectionState


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
    def uses_tls(self) -> bool:
        """Whether the backend's certificate has been checked."""
        endpoint = self._state.endpoint
        return endpoint is not None and endpoint.uses_tls

    def reconnect(self) -> None:
        """Close and connect anew: address or credentials have changed."""
        self._connection.reconnect()

    def restart_timers(self) -> None:
        """Take changed intervals into use at once."""
        self._heartbeat.restart()
        self._connection.restart_pings()
