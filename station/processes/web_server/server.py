"""Daphne's server with our connections; imported only by the process that has a reactor."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from channels.db import database_sync_to_async
from daphne.http_protocol import HTTPFactory
from daphne.server import Server
from twisted.internet import defer, reactor
from twisted.internet.endpoints import serverFromString
from twisted.logger import globalLogBeginner
from twisted.web import http

from station.processes.web_server.channel import SILENT_S, Bodies, LimitedChannel, LimitedRequest
from station.processes.web_server.crowd import Crowd
from station.processes.web_server.socket import LimitedSocketFactory
from station.processes.web_server.spool import SCOPE_KEY, FromSpool
from station.web import bodies

if TYPE_CHECKING:
    from twisted.logger import ILogObserver

logger = logging.getLogger(__name__)


class LimitedFactory(HTTPFactory):
    """Makes the connections of one server."""

    def __init__(self, server: "LimitedServer", crowd: Crowd, bodies: Bodies) -> None:
        super().__init__(server)
        self.timeOut = SILENT_S
        self._crowd = crowd
        self._bodies = bodies

    def protocol(self) -> LimitedChannel:
        """Make a connection."""
        return LimitedChannel(self._crowd, self._bodies)

    def buildProtocol(self, addr: Any) -> Any:
        """Make a connection with our own requests; Daphne would put its own in."""
        channel: Any = http.HTTPFactory.buildProtocol(self, addr)
        channel.requestFactory = LimitedRequest
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """Speak HTTP/1.1 only: the limits are those of this channel."""
        return [b"http/1.1"]


class AskedBodies:
    """Asks the table of access, and the database who is signed in."""

    def largest(self, path: str) -> int:
        """Return how many bytes an address takes."""
        return bodies.largest(path)

    def may_send(self, path: str, method: str, cookies: str) -> "defer.Deferred[bool]":
        """Return whether the sender may use the address."""
        asking = database_sync_to_async(bodies.may_send)(path, method, cookies)
        return defer.Deferred.fromFuture(asyncio.ensure_future(asking))


class LimitedServer(Server):
    """Daphne, which takes no factories from outside: hence the start is written out here."""

    def __init__(
        self, application: Any, *, listeners_wanted: int, on_listening: Callable[[], None], **options: Any
    ) -> None:
        super().__init__(FromSpool(application), **options)
        self._listeners_missing = listeners_wanted
        self._on_listening = on_listening

    def listen_success(self, port: Any) -> None:
        """Tell when the last of the listeners is open."""
        super().listen_success(port)
        self._listeners_missing -= 1
        if not self._listeners_missing:
            self._on_listening()

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        """Begin the application's part of a request."""
        if getattr(protocol, "spool", None) is not None:
            scope[SCOPE_KEY] = protocol.spool
        return super().create_application(protocol, scope)

    def run(self) -> None:
        """Serve until SIGTERM."""
        self.connections: dict[Any, dict[str, Any]] = {}
        crowd = Crowd()
        self.http_factory = LimitedFactory(self, crowd, AskedBodies())
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
