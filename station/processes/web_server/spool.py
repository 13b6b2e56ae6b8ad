"""Large bodies: kept in a file of the data directory, and handed to the application piece by piece."""

import tempfile
from collections.abc import Awaitable, Callable
from typing import IO, Any

from django.conf import settings

_PIECE_BYTES = 64 * 1024
# Where the scope of a request carries the file from Daphne to `FromSpool`.
SCOPE_KEY = "station.spool"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Application = Callable[[dict[str, Any], Receive, Any], Awaitable[None]]


def open_spool() -> IO[bytes]:
    """Open a file without a name, which is gone when it is closed, in the data directory and nowhere else."""
    return tempfile.TemporaryFile(dir=settings.DATA.files)


class FromSpool:
    """Gives an application the body from a file; Daphne would put all of it into memory first."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        """Pass the request on."""
        spool = scope.pop(SCOPE_KEY, None)
        await self._application(scope, receive if spool is None else _reader(spool, receive), send)


def _reader(spool: IO[bytes], receive: Receive) -> Receive:
    is_complete = False

    async def read() -> dict[str, Any]:
        nonlocal is_complete
        if is_complete:
            return await receive()
        if spool.closed:
            return {"type": "http.disconnect"}
        piece = spool.read(_PIECE_BYTES)
        if not piece:
            is_complete = True
            # Daphne's own message: an empty body, and the end of it.
            return await receive()
        return {"type": "http.request", "body": piece, "more_body": True}

    return read
