"""A WebSocket on which the other side has next to nothing to say."""

from dataclasses import dataclass
from typing import Any

from autobahn.websocket.types import ConnectionDeny
from daphne.ws_protocol import WebSocketFactory, WebSocketProtocol

from station import clock
from station.processes.web_server.channel import key_of
from station.processes.web_server.crowd import Crowd

# Pongs, and a closing frame: a page only listens. Autobahn's limits of frames would hold for what we send, too.
_BURST_BYTES = 4096
_BYTES_PER_S = 256


@dataclass(kw_only=True)
class Allowance:
    """Bytes somebody may send; what is not used up comes back with time."""

    burst: int
    per_s: float
    left: float
    at_s: float

    def take(self, size: int, now_s: float) -> bool:
        """Use some; return whether there was enough."""
        self.left = min(float(self.burst), self.left + (now_s - self.at_s) * self.per_s) - size
        self.at_s = now_s
        return self.left >= 0


class LimitedSocket(WebSocketProtocol):
    """Daphne's end of a WebSocket; one that talks too much is cut off."""

    def connectionMade(self) -> None:
        """Begin to count."""
        self._key = key_of(self.transport)
        self._allowance = Allowance(burst=_BURST_BYTES, per_s=_BYTES_PER_S, left=_BURST_BYTES, at_s=clock.monotonic_s())
        super().connectionMade()

    def connectionLost(self, reason: Any) -> None:
        """Count the connection out; the channel, which counted it in, has handed it over."""
        self.factory.crowd.leave(self._key)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        """Take what arrives; pings and empty frames, each of which costs an answer or a call, count, too."""
        if self.state == self.STATE_OPEN and not self._allowance.take(len(data), clock.monotonic_s()):
            self.transport.abortConnection()
            return
        super().dataReceived(data)

    def onConnect(self, request: Any) -> Any:
        """Hand the connection to the application, unless Daphne could not read its headers."""
        for name, value in request.headers.items():
            if not (name.isascii() and value.isascii()):
                raise ConnectionDeny(ConnectionDeny.BAD_REQUEST, "headers are written in ASCII")
        return super().onConnect(request)


class LimitedSocketFactory(WebSocketFactory):
    """Makes the sockets of one server."""

    protocol = LimitedSocket

    def __init__(self, crowd: Crowd, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.crowd = crowd
