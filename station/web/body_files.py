"""Requests whose body waits in a file already."""

from collections.abc import Awaitable, Callable, Mapping
from typing import IO, Any

from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler


class PagesHandler(ASGIHandler):
    """Django's handler; it would copy a large body once more, on the event loop and into the system's /tmp."""

    async def read_body(self, receive: Callable[[], Awaitable[Mapping[str, Any]]]) -> IO[bytes]:
        """Return the body, from its beginning."""
        file: IO[bytes] | None = getattr(receive, "file", None)
        if file is None:
            return await super().read_body(receive)
        message = await receive()
        if message["type"] == "http.disconnect":
            file.close()
            raise RequestAborted
        file.seek(0)
        return file
