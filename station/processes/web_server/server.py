"""Daphne's server with our connections; imported only by the process that has a reactor."""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, cast

from daphne.http_protocol import HTTPFactory
from daphne.server import Server
from twisted.internet import defer, reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import globalLogBeginner
from twisted.web import http

from station.processes.web_server.channel import SILENT_S, LimitedChannel, LimitedRequest
from station.processes.web_server.crowd import Crowd
from station.processes.web_server.socket import LimitedSocketFactory

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

logger = logging.getLogger(__name__)


class LimitedFactory(HTTPFactory):
    """Makes the connections of one server."""

    def __init__(self, server: "LimitedServer", crowd: Crowd) -> None:
        super().__init__(server)
        self.timeOut = SILENT_S
        self._crowd = crowd

    def protocol(self) -> LimitedChannel:
        """Make a connection."""
        return LimitedChannel(self._crowd)

    def buildProtocol(self, addr: Any) -> Any:
        """Make a connection with our own requests; Daphne would put its own in."""
        channel: Any = http.HTTPFactory.buildProtocol(self, addr)
        channel.requestFactory = LimitedRequest
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Speak HTTP/1.1 only: the limits are those of this channel."""
        return [b"http/1.1"]


class LimitedServer(Server):
    """Daphne, which takes no factories from outside: hence the start is written out here."""

    def run(self) -> None:
        """Serve until SIGTERM."""
        self.connections: dict[Any, dict[str, Any]] = {}
        crowd = Crowd()
        self.http_factory = LimitedFactory(self, crowd)
        self.ws_factory = LimitedSocketFactory(crowd, self, server=self.server_name)
        self.ws_factory.setProtocolOptions(
            autoPingTimeout=self.ping_timeout,
            openHandshakeTimeout=self.websocket_handshake_timeout,
        )
        globalLogBeginner.beginLoggingTo(
            [cast("ILogObserver", lambda _event: None)], redirectStandardIO=False, discardBuffer=True
        )
        loop: Any = reactor
        loop.callLater(1, self.application_checker)
        loop.callLater(2, self.timeout_checker)
        for description in self.endpoints:
            listener = serverFromString(reactor, description).listen(self.http_factory)
            listener.addCallback(self.listen_success)
            listener.addErrback(self.listen_error)
            self.listeners.append(listener)
        asyncio.set_event_loop(loop._asyncioEventloop)  # noqa: SLF001 - as Daphne does
        loop.addSystemEventTrigger("before", "shutdown", self.kill_all_applications)
        if not self.abort_start:
            loop.run()

    def kill_all_applications(self) -> defer.Deferred[Any]:
        """End what is under way; Daphne's own fails when a request is only half here."""
        running = [task for details in self.connections.values() if (task := details.get("application_instance"))]
        for task in running:
            task.cancel()
        ended: defer.Deferred[Any] = defer.Deferred.fromFuture(asyncio.gather(*running, return_exceptions=True))
        return ended.addErrback(lambda _: None)
