"""Whether the station's database takes what this process writes: a full disk is no reason to leave the backend."""

import asyncio
import logging

from django.db import DatabaseError

from ocpp_client.database import in_database
from station.services import write_probe

logger = logging.getLogger(__name__)

_PROBE_S = 2.0


class StorageWatch:
    """Says once that the database cannot be written, and once that it can be again."""

    def __init__(self) -> None:
        self._failed = asyncio.Event()

    def report(self, error: Exception, doing: str) -> None:
        """Take note of a failed write."""
        if not self._failed.is_set():
            logger.error("%s: the database cannot be written: %s", doing, error)
        self._failed.set()

    async def run(self) -> None:
        """Look for the end of a failure, for as long as the process lives."""
        while True:
            await self._failed.wait()
            await asyncio.sleep(_PROBE_S)
            try:
                if write_probe.is_short_of_room():
                    continue
                await in_database(write_probe.write)
            except (DatabaseError, OSError):
                continue
            self._failed.clear()
            logger.warning("the database can be written again")
