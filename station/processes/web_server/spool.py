"""Large bodies: kept in a file of the data directory, which the pages read from; nothing is copied."""

import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO, Any

from django.conf import settings

# The body and the file in it.
_COPIES = 2
# What must stay free for the session records.
_SPARE_BYTES = 100_000_000
# Where the scope of a request carries the file from Daphne to `FromSpool`.
SCOPE_KEY = "station.spool"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Application = Callable[[dict[str, Any], Receive, Any], Awaitable[None]]


def open_spool() -> IO[bytes]:
    """Open a file without a name, which is gone when it is closed, in the data directory and nowhere else."""
    return tempfile.TemporaryFile(dir=settings.DATA.files)


def has_room(size: int) -> bool:
    """Return whether a body of this size fits: on arrival, once more as the file in it, and something for the rest."""
    return shutil.disk_usage(settings.DATA.files).free > _COPIES * size + _SPARE_BYTES


def remove_leftovers() -> None:
    """Delete what an earlier process was taking from a body when it died; the bodies themselves have no names."""
    for path in settings.DATA.files.glob("*.upload*"):
        path.unlink(missing_ok=True)


class FromSpool:
    """Gives an application the file with the body; Daphne would put all of it into memory first."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Any) -> None:
        """Pass the request on."""
        spool = scope.pop(SCOPE_KEY, None)
        await self._application(scope, receive if spool is None else SpooledBody(spool, receive), send)


class SpooledBody:
    """What an application asks for messages: Daphne's own, of which the first stands for the body in the file."""

    def __init__(self, spool: IO[bytes], receive: Receive) -> None:
        self._receive = receive
        # A handle of its own: the request's is closed when its connection ends, in the middle of a read.
        self.file = os.fdopen(os.dup(spool.fileno()), "rb")

    async def __call__(self) -> dict[str, Any]:
        """Return the next message."""
        return await self._receive()
