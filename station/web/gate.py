"""Checks before the live socket is opened: its address, own names and own pages only."""

from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings

from station import clock
from station.web import origins

Application = Callable[[dict[str, Any], Any, Any], Awaitable[None]]


class OnePath:
    """Lets WebSockets to one address through; the router of Channels would end every other one with a traceback."""

    def __init__(self, path: str, application: Application) -> None:
        self.path = path
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass the connection on, or refuse it before it is accepted."""
        if scope["path"] == self.path:
            await self.application(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


class OwnOriginOnly:
    """Refuses a WebSocket that a foreign page opens, or that asks for a foreign name.

    Browsers let any page open a WebSocket anywhere and send the cookies along; only the Origin header tells.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass the connection on, or refuse it before it is accepted."""
        headers = dict(scope.get("headers", ()))
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        is_secure = settings.SERVES_HTTPS and _port_of(scope) == origins.https_port()
        if settings.SERVES_HTTPS and not is_secure:
            # What the page shows, and the cookie that opened it, would go over the line for everybody to read.
            await send({"type": "websocket.close", "code": 1008})
            return
        own = f"{'https' if is_secure else 'http'}://{host}".lower()
        if origin.lower() == own and await database_sync_to_async(_is_own)(host):
            await self.application(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


def _port_of(scope: dict[str, Any]) -> int:
    """Return the port somebody has come to: Daphne does not tell a WebSocket's application whether there is TLS."""
    server = scope.get("server")
    return int(server[1]) if server else 0


def _is_own(host: str) -> bool:
    return origins.is_own_host(host, now_s=clock.monotonic_s())
