"""Tells the rest of the station how the connection stands: table, live part, event log, control loop."""

import asyncio
import logging
from datetime import datetime

from django.db import DatabaseError

from ocpp_client.connection.standing import Standing
from ocpp_client.database import in_database
from ocpp_client.ports import Surroundings
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.snapshot import BackendSnapshot
from station.models import BackendState
from station.services import event_log, outbox

logger = logging.getLogger(__name__)

REFRESH_S = 10.0
# Several changes within a moment make one picture.
_GATHER_S = 0.2
OFFLINE_CODE = "backend.offline"


class Presence:
    """Publishes every change of the standing, and the same picture again before it expires."""

    def __init__(self, standing: Standing, surroundings: Surroundings) -> None:
        self._standing = standing
        self._surroundings = surroundings
        self._told: bool | None = None
        self._unrecorded = False

    async def run(self) -> None:
        """Publish for as long as the process lives."""
        while True:
            self._standing.changed.clear()
            if self._unrecorded:
                await self._record_told()
            await self.publish()
            if await wait_or_timeout(self._standing.changed, REFRESH_S):
                await asyncio.sleep(_GATHER_S)

    async def publish(self) -> None:
        """Publish the present snapshot."""
        try:
            owed = await in_database(outbox.owed)
        except DatabaseError:
            owed = None
        await self._surroundings.publish(self._snapshot(owed))

    def _snapshot(self, owed: int | None) -> BackendSnapshot:
        standing = self._standing
        return BackendSnapshot(
            connected=standing.connected,
            registration=standing.registration.phase.value,
            url=standing.endpoint.base_url if standing.endpoint else "",
            identity=standing.endpoint.identity if standing.endpoint else "",
            since=standing.since,
            last_error=standing.last_error,
            outbox=owed,
        )

    async def note_online(self) -> None:
        """Tell table, log and control loop when the backend has become reachable or unreachable."""
        online = self._standing.online
        self._standing.note_change()
        if online == self._told:
            return
        self._told = online
        await self._record_told()

    async def _record_told(self) -> None:
        """Write what was told; the connection does not hang on it, and the next round of `run` tries again."""
        configured = self._standing.endpoint is not None
        reason = self._standing.last_error if configured else None
        try:
            await in_database(_record, bool(self._told), clock.now(), reason)
        except DatabaseError:
            if not self._unrecorded:
                logger.exception("It could not be recorded how the connection stands")
            self._unrecorded = True
        else:
            self._unrecorded = False


def _record(online: bool, at: datetime, reason: str | None) -> None:  # noqa: FBT001 – called by position through the thread
    BackendState.load()
    BackendState.objects.filter(id=1).update(connected=online, changed_at=at)
    if online:
        event_log.end(OFFLINE_CODE, at=at)
    elif reason is not None:
        event_log.begin(OFFLINE_CODE, at=at, reason=reason)
