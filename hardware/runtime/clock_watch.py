"""Notices when the wall clock becomes right, and has what was stamped before corrected."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime

from django.db import DatabaseError

from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.moments import EARLIEST_STAMP
from station.domain.stamps import TOLERANCE, Stamp
from station.host import ClockPort
from station.services import sessions, stamps

logger = logging.getLogger(__name__)


class ClockWatch:
    """Compares the wall clock with the steady one; a step of it, or the first trust in it, is a reason to correct."""

    def __init__(self, points: Mapping[int, ChargingPoint], records: RecordStore, wall_clock: ClockPort) -> None:
        self._points = points
        self._records = records
        self._wall_clock = wall_clock
        self._boot_began: datetime | None = None
        self._trusted = False
        self._correcting: asyncio.Task[None] | None = None
        self._tasks = BackgroundTasks(logger)

    async def step(self) -> None:
        """Look once; what is to be corrected is corrected beside the caller, as it may take a minute."""
        if self._correcting is not None and not self._correcting.done():
            return
        now = clock.stamp()
        if now.boot_began is None or now.at < EARLIEST_STAMP:
            # The time is lost. When it comes back it is news, even if it is what it was before.
            self._boot_began, self._trusted = None, False
            return
        trusted = self._wall_clock.is_trustworthy()
        # A step of a clock that nobody vouches for says nothing about the time before.
        stepped = self._boot_began is None or (trusted and abs(now.boot_began - self._boot_began) > TOLERANCE)
        if stepped or (trusted and not self._trusted):
            self._correcting = self._tasks.spawn(self._correct(now, trusted=trusted))

    async def _correct(self, now: Stamp, *, trusted: bool) -> None:
        correction = stamps.correcting(now, trusted=trusted)
        try:
            while await self._records.execute(stamps.portion, correction) is not None:
                # In between others have their turn in the database.
                continue
        except (DatabaseError, OSError) as error:
            # The next step begins anew.
            self._records.report_failure(error)
            return
        self._boot_began, self._trusted = now.boot_began, trusted
        # The OCPP process corrects, too, when it sets the clock; then nothing is left to be corrected here.
        await self._take_over_starts()

    async def _take_over_starts(self) -> None:
        for point in self._points.values():
            if point.session is None:
                continue
            started_at = await self._records.attempt(sessions.started_at, point.session.id)
            if started_at is not None and point.session is not None:
                point.session.correct_start(started_at)
                point.tell_changed()
