"""Tells the rest of the station how the connection stands: table, live part, event log, control loop."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime

from django.db import DatabaseError

from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.ports import LiveSnapshots
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.snapshot import BackendSnapshot
from station.models import BackendState
from station.services import event_log, outbox

logger = logging.getLogger(__name__)

REFRESH_S = 10.0
# Several changes within a moment make one snapshot; the length of the queue alone is no news for a page.
_GATHER_S = 0.2
_QUEUE_GATHER_S = 2.0
OFFLINE_CODE = "backend.offline"


class ConnectionPublisher:
    """Publishes every change of the state, and the same snapshot again before it expires."""

    def __init__(self, state: ConnectionState, snapshots: LiveSnapshots) -> None:
        self._state = state
        self._snapshots = snapshots
        self._told: bool | None = None
        self._unrecorded = False
        self._published: BackendSnapshot | None = None

    async def run(self) -> None:
        """Publish for as long as the process lives."""
        while True:
            self._state.changed.clear()
            if self._unrecorded:
                await self._record_told()
            await self.publish()
            if await wait_or_timeout(self._state.changed, REFRESH_S):
                await asyncio.sleep(_GATHER_S)
                await self._until_worth_publishing()

    async def _until_worth_publishing(self) -> None:
        """Gather changes of the queue for longer than those of the connection."""
        deadline_s = clock.monotonic_s() + _QUEUE_GATHER_S - _GATHER_S
        while self._snapshot() == self._published and (remaining_s := deadline_s - clock.monotonic_s()) > 0:
            self._state.changed.clear()
            await wait_or_timeout(self._state.changed, remaining_s)

    async def publish(self) -> None:
        """Publish the present snapshot."""
        try:
            owed = await in_database(outbox.owed)
        except DatabaseError:
            owed = None
        self._published = self._snapshot()
        await self._snapshots.publish(replace(self._published, outbox=owed))

    def _snapshot(self) -> BackendSnapshot:
        state = self._state
        return BackendSnapshot(
            connected=state.connected,
            registration=state.registration.phase.value,
            url=state.endpoint.base_url if state.endpoint else "",
            identity=state.endpoint.identity if state.endpoint else "",
            since=state.since,
            last_error=state.last_error,
            link=state.link.kind.value if state.connected else "",
            trial_back_to=state.trial.back_to if state.trial else "",
            trial_minutes=state.trial.minutes if state.trial else None,
            taken_back_url=state.taken_back_url,
            registered=state.registered,
            attempt=state.attempt.seen if state.attempt else None,
            failed=state.failed,
            checked=state.checked,
            tried=state.tried,
            tried_id=state.tried_id,
        )

    async def note_online(self) -> None:
        """Tell table, log and control loop when the backend has become reachable or unreachable."""
        online = self._state.online
        self._state.note_change()
        if online == self._told:
            return
        self._told = online
        await self._record_told()

    async def _record_told(self) -> None:
        """Write what was told; the connection does not hang on it, and the next round of `run` tries again."""
        configured = self._state.endpoint is not None
        reason = self._state.last_error if configured else None
        try:
            await in_database(_record, bool(self._told), clock.now(), reason)
        except DatabaseError as error:
            if not self._unrecorded:
                logger.error("It could not be recorded how the connection stands: %s", error)  # noqa: TRY400 - a full disk
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
