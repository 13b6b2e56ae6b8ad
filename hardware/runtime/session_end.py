"""The end of a session, step by step: the current has ended, the final register is read, the end is written."""

import asyncio
import logging
from datetime import datetime
from typing import Protocol

from hardware.runtime.session import RunningSession
from hardware.runtime.session_records import SessionEnd, SessionRecords
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.ports import ControllerStatus, DeviceFailed, MeterReading
from station.domain.units import MilliAmpere

log = logging.getLogger(__name__)

# IEC 61851-1 table A.6: a car ends its current within 3 s after the pilot signal ended; after 6 s the contactor opens
# under load. Then at the latest the final register stands still.
CURRENT_ENDS_S = 6.0
NO_CURRENT = MilliAmpere(500)
WRITE_AGAIN_S = 1.0


class EndingPoint(Protocol):
    """A charging point as the end of its session sees it."""

    number: int

    @property
    def reading(self) -> MeterReading | None:
        """The newest reading of the meter."""

    async def read_controller(self) -> ControllerStatus:
        """Read the controller now; raises DeviceFailed."""

    async def read_meter(self) -> MeterReading:
        """Read the meter now; raises DeviceFailed."""

    def session_ended(self, end: SessionEnd) -> None:
        """Forget the session: its end is written."""

    def tell_changed(self) -> None:
        """Tell that session or phase have changed."""


class SessionEnding:
    """Brings sessions of one charging point to their end. Energy has been withdrawn before."""

    def __init__(self, point: EndingPoint, session_records: SessionRecords) -> None:
        self._point = point
        self._session_records = session_records
        self._tasks = BackgroundTasks(log)

    async def run(self, session: RunningSession, *, reason: str, id_tag: str, at: datetime) -> None:
        """End the session that was stopped at this moment."""
        session.begin_ending()
        await self._until_current_has_ended()
        end = self._session_records.end_of(session, reason=reason, id_tag=id_tag, at=at, reading=self._point.reading)
        if not await self._is_written(end):
            # The session has ended in fact, and the driver shall not be held up; it is written down later.
            self._tasks.spawn(self._write_until_taken(end))

    async def _until_current_has_ended(self) -> None:
        deadline_s = clock.monotonic_s() + CURRENT_ENDS_S
        while True:
            try:
                status = await self._point.read_controller()
                reading = await self._point.read_meter()
            except DeviceFailed as error:
                log.info("point %d: no final value yet: %s", self._point.number, error)
                await asyncio.sleep(0.1)
            else:
                currents = [current for current in reading.currents if current is not None]
                flows = max(currents, default=0) > NO_CURRENT or status.contactor_closed is True
                if not flows and not status.enabled:
                    return
            if clock.monotonic_s() >= deadline_s:
                return

    async def _is_written(self, end: SessionEnd) -> bool:
        if not await self._session_records.end(end):
            return False
        self._point.session_ended(end)
        await self._session_records.reload_dependents()
        return True

    async def _write_until_taken(self, end: SessionEnd) -> None:
        """Try again for ever; until then the session stays, and no other can begin here."""
        while not await self._is_written(end):
            await asyncio.sleep(WRITE_AGAIN_S)
        self._point.tell_changed()
