"""The archive of signed meter data as the control loop sees it: while it is not in order, no session begins."""

import asyncio
import logging

from django.db import DatabaseError

from hardware.runtime.records import RecordStore
from hardware.runtime.state import StationState
from station import clock
from station.domain.faults import FaultCode
from station.domain.ports import SignedRecord
from station.services import event_log, sessions, signed_archive
from station.services.signed_archive import Archived, ArchiveUnusable, Entry

logger = logging.getLogger(__name__)

ARCHIVE_FAULT, CONTENT_FAULT = "signed archive", "content of the signed archive"
ARCHIVE_CODE = "signed_archive.unusable"
# OCPP's info has 50 characters (CiString50Type).
NOT_WRITABLE = "Meter log not writable: free or replace the disk"
NOT_COMPLETE = "Meter log incomplete: look into it, then note it"
MISSING_OF_POINT = "Signed record missing, point {number}: look into it"
# An archive that works is asked so often whether it still can be written, one that does not every second time.
PROBE_S, PROBE_AGAIN_S = 60.0, 2.0


class Archive:
    """Keeps what is signed, and raises RegulatoryComplianceFailure while it cannot, or while something is missing."""

    def __init__(self, records: RecordStore, state: StationState) -> None:
        self._records = records
        self._state = state
        self._checked = asyncio.Event()
        self._is_usable = True
        self._checked_rows = 0

    async def until_in_order(self) -> None:
        """Wait until the archive was read through; raises ArchiveUnusable where it is not in order."""
        await self._checked.wait()
        if not self._is_usable or self._state.faults_from(CONTENT_FAULT):
            raise ArchiveUnusable("the archive of signed meter data is not in order")

    async def check(self) -> None:
        """Read the whole archive; what is missing or changed in it is a fault until somebody has noted why."""
        newest = await self._records.attempt(sessions.newest_signed_begin)
        # Beside the database's thread: an archive of years takes seconds.
        verdict = await asyncio.to_thread(signed_archive.check, at_least=newest or 0)
        if self._is_usable:
            # What was found at an earlier start is mended, or is told again as it is now.
            await self._records.attempt(event_log.end, ARCHIVE_CODE, at=clock.now())
        self._checked_rows = verdict.rows
        if verdict.problems:
            await self._report("; ".join(verdict.details))
        fault = frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}) if verdict.problems else frozenset[FaultCode]()
        self._state.set_faults(CONTENT_FAULT, fault, info=NOT_COMPLETE)
        self._checked.set()

    async def keep(self, entry: Entry) -> int:
        """Archive a record; raises ArchiveUnusable. A record that is missing before it is a fault."""
        try:
            kept = await self._records.execute(signed_archive.append, entry)
        except (ArchiveUnusable, DatabaseError, OSError) as error:
            await self._failed(str(error))
            raise ArchiveUnusable(str(error)) from error
        if not kept.follows:
            await self._report(f"pagination_gap: {kept.number}")
            fault = frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE})
            info = MISSING_OF_POINT.format(number=entry.connector_id)
            self._state.set_faults(CONTENT_FAULT, fault, info=info)
        return kept.number

    async def of_session(self, begin_number: int) -> list[Archived]:
        """Read what is kept of a session; raises ArchiveUnusable."""
        try:
            return await self._records.execute(signed_archive.of_session, begin_number)
        except (DatabaseError, OSError) as error:
            raise ArchiveUnusable(str(error)) from error

    async def holds(self, record: SignedRecord, serial: str) -> bool:
        """Return whether a record of a meter is kept; raises ArchiveUnusable."""
        return await self._records.execute(signed_archive.holds, record.raw, serial)

    async def open_begin(self, serial: str) -> int | None:
        """Return the newest begin of a meter whose end is not kept; raises ArchiveUnusable."""
        return await self._records.execute(signed_archive.open_begin, serial)

    async def newest(self) -> int:
        """Return the number of the newest row; raises ArchiveUnusable."""
        return await self._records.execute(signed_archive.newest)

    async def was_noted(self, serial: str, *, since: int) -> bool:
        """Return whether somebody has noted something about a meter since a row; raises ArchiveUnusable."""
        return await self._records.execute(signed_archive.was_noted, serial, since)

    async def run(self) -> None:
        """Check once, then find out for ever whether the archive can be written."""
        await self.check()
        while True:
            try:
                await self._records.execute(signed_archive.probe, clock.stamp())
                await self._look_for_notes()
            except (ArchiveUnusable, DatabaseError, OSError) as error:
                await self._failed(str(error))
            else:
                await self._works()
            in_order = self._is_usable and not self._state.faults_from(CONTENT_FAULT)
            await asyncio.sleep(PROBE_S if in_order else PROBE_AGAIN_S)

    async def _look_for_notes(self) -> None:
        """Check again when a row came while something is missing: it may be the note of whoever has looked into it."""
        if not self._state.faults_from(CONTENT_FAULT):
            return
        if await self.newest() != self._checked_rows:
            await self.check()

    async def _failed(self, reason: str) -> None:
        if self._is_usable:
            logger.error("signed meter data cannot be archived, no session begins: %s", reason)
            self._is_usable = False
            fault = frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE})
            self._state.set_faults(ARCHIVE_FAULT, fault, info=NOT_WRITABLE)
            await self._report(reason)

    async def _works(self) -> None:
        if not self._is_usable:
            logger.warning("signed meter data can be archived again")
            self._is_usable = True
            self._state.set_faults(ARCHIVE_FAULT, frozenset())
            await self._records.attempt(event_log.end, ARCHIVE_CODE, at=clock.now())

    async def _report(self, reason: str) -> None:
        await self._records.attempt(event_log.begin, ARCHIVE_CODE, at=clock.now(), reason=reason[:200])
