"""The live socket: brings renewed parts of the open page, in the reader's language, at most twice a second."""

import asyncio
import logging
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import get_language_from_request
from redis.exceptions import RedisError

from station import clock
from station.concurrency import wait_or_timeout
from station.domain.roles import Role
from station.services import accounts, live
from station.web import access, fragments, login_sessions, present

logger = logging.getLogger(__name__)

# Close codes for app.js, which comes back after 4503 and must not after 4401 (the session has ended). An application
# may send codes from 3000 on only (RFC 6455 section 7.4.2); Daphne refuses 1012 and 1013, which htmx would follow.
TRY_AGAIN_LATER = 4503
SIGNED_OUT = 4401
_SHORTEST_PAUSE_S = 0.5
# Without any notification the page is rendered again, so that a dead process is noticed.
_LONGEST_PAUSE_S = 3.0


class LiveConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One open page. It only brings fragments; commands go by POST."""

    groups = (live.GROUP,)
    _task: "asyncio.Task[None] | None" = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve until the page or Redis goes away."""
        self._wake_up = asyncio.Event()
        self._shown: dict[str, str] = {}
        try:
            await super().__call__(scope, receive, send)
        except (RedisError, OSError):
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})
        finally:
            if self._task is not None:
                self._task.cancel()

    async def connect(self) -> None:
        """Let in who is signed in with a password of their own.

        Others are accepted and sent away: before the handshake no close code would reach the browser.
        """
        await self.accept()
        if await database_sync_to_async(self._role)(clock.now()) < access.LIVE:
            await self.close(code=SIGNED_OUT)
            return
        query = parse_qs(self.scope["query_string"].decode("ascii", "replace"))
        self._page = query.get("page", [fragments.OTHER])[0]
        self._language = _language_of(self.scope)
        self._task = asyncio.create_task(self._serve())

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Ignore what the page says: it has nothing to say here."""

    async def live_changed(self, _message: dict[str, Any]) -> None:
        """React to the notification of a publisher."""
        self._wake_up.set()

    async def _serve(self) -> None:
        try:
            while await self._renew():
                await asyncio.sleep(_SHORTEST_PAUSE_S)
                await wait_or_timeout(self._wake_up, _LONGEST_PAUSE_S - _SHORTEST_PAUSE_S)
        except Exception:
            logger.exception("the live page has failed; the browser will come back")
            await self.close(code=TRY_AGAIN_LATER)
        else:
            await self.close(code=SIGNED_OUT)

    async def _renew(self) -> bool:
        self._wake_up.clear()
        at = clock.now()
        role = await database_sync_to_async(self._role)(at)
        if role < access.LIVE:
            return False
        parts = await database_sync_to_async(self._render)(at, role)
        changed = [html for name, html in parts.items() if self._shown.get(name) != html]
        self._shown = parts
        if changed:
            await self.send(text_data="\n".join(changed))
        return True

    def _render(self, at: datetime, role: Role) -> dict[str, str]:
        live.watch()
        return fragments.render_page(self._page, present.look(at), role, language=self._language)

    def _role(self, at: datetime) -> Role:
        """Return the role of whoever the session belongs to now; it may change, and the session end, at any time."""
        key = self.scope.get("cookies", {}).get(settings.SESSION_COOKIE_NAME, "")
        user = login_sessions.user_of(key, at=at)
        if user is None or accounts.profile_of(user).must_change_password:
            return Role.STRANGER
        return accounts.role_of(user)


def _language_of(scope: dict[str, Any]) -> str:
    request = HttpRequest()
    request.COOKIES = scope.get("cookies", {})
    headers = dict(scope.get("headers", ()))
    request.META["HTTP_ACCEPT_LANGUAGE"] = headers.get(b"accept-language", b"").decode("latin-1")
    return get_language_from_request(request)
