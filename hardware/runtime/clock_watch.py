"""Notices when the wall clock becomes right, and has what was stamped before corrected."""

from collections.abc import Mapping
from datetime import datetime

from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from station import clock
from station.domain.stamps import TOLERANCE
from station.host import ClockPort
from station.services import sessions, stamps


class ClockWatch:
    """Compares the wall clock with the steady one; a step of it, or the first trust in it, is a reason to correct."""

    def __init__(self, points: Mapping[int, ChargingPoint], records: RecordStore, wall_clock: ClockPort) -> None:
        self._points = points
        self._records = records
        self._wall_clock = wall_clock
        self._boot_began: datetime | None = None

    async def step(self) -> None:
        """Look once."""
        now = clock.stamp()
        if now.boot_began is None or not self._wall_clock.is_trustworthy():
            return
        if self._boot_began is not None and abs(now.boot_began - self._boot_began) <= TOLERANCE:
            return
        corrected = await self._records.attempt(stamps.correct, now)
        if corrected is None:
            # The database could not be written; the next step tries again.
            return
        self._boot_began = now.boot_began
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
