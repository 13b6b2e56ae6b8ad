"""Checks before the live socket is opened: its address, own names and own pages only."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from channels.db import database_sync_to_async

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
        if urlsplit(origin).netloc.lower() == host.lower() and await database_sync_to_async(_is_own)(host):
            await self.application(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


def _is_own(host: str) -> bool:
    return origins.is_own_host(host, now_s=clock.monotonic_s())
