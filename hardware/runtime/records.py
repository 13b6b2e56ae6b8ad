"""Reading and writing records, and whether they can be written."""

import logging
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from django.db import DatabaseError

from hardware.runtime.database import DatabaseThread
from station import clock
from station.domain.faults import FaultCode
from station.services import event_log, write_probe

logger = logging.getLogger(__name__)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

FAULT_SOURCE = "records"
# OCPP's info has 50 characters (CiString50Type).
NOT_RECORDED = "Sessions not recordable: free or replace the disk"
# So many probes, a second apart, have to fail before records count as unwritable.
FAILED_PROBES = 2
# An idle station writes nothing for hours; it finds a full disk by asking for its room, once in so many probes.
LOOKS_AT_ROOM = 10
# A record takes milliseconds, on a slow card with its file system busy a second. What takes longer waits for a lock.
KEPT_WAITING_S = 3.0


class RecordUnwritable(Exception):
    """The record of a session could not be written."""


class MeterUnreadable(Exception):
    """There is no register a session could begin with."""


class FaultReport(Protocol):
    """Where it is reported that records cannot be written."""

    def set_faults(self, source: str, codes: frozenset[FaultCode], *, info: str = "") -> None:
        """Take what one source reports."""


class RecordStore:
    """Access to the database. While `failed`, no session begins: what cannot be written down must not happen."""

    def __init__(self, database: DatabaseThread, report: FaultReport) -> None:
        self._database = database
        self._report = report
        self._failed = False
        self._in_doubt = False
        self._failed_probes = 0
        self._probes = 0
        self._is_short = False

    @property
    def failed(self) -> bool:
        """Whether no session may begin: records cannot be written, or the disk has no room for a whole session."""
        return self._failed or self._is_short

    @property
    def waiting(self) -> bool:
        """Whether the database keeps the control loop waiting now, or has refused something since the last probe."""
        busy_since_s = self._database.busy_since_s
        is_slow = busy_since_s is not None and clock.monotonic_s() - busy_since_s >= KEPT_WAITING_S
        return is_slow or self._in_doubt

    async def execute(
        self, verb: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run a verb of the services; its exceptions are the caller's."""
        return await self._database(verb, *args, **kwargs)

    async def attempt(
        self, verb: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result | None:
        """Run a verb whose failure endangers no record: it is reported here, and the result is None."""
        try:
            return await self._database(verb, *args, **kwargs)
        except (DatabaseError, OSError) as error:
            self.report_failure(error)
            return None

    def report_failure(self, error: Exception) -> None:
        """Take note that something could not be written; `probe` finds out whether nothing can."""
        if not self._in_doubt and not self.failed:
            logger.warning("a record could not be written: %s", error)
        self._in_doubt = True

    async def probe(self) -> None:
        """Find out, after a failure, whether records can be written.

        One failure may be a lock that somebody held for too long. That nothing can be written is believed when probes
        fail again and again, and that it can be written again when one succeeds.
        """
        self._probes += 1
        if self._in_doubt or self.failed or self._probes % LOOKS_AT_ROOM == 1:
            await self._look_for_room()
        if self._in_doubt or self.failed:
            await self._judge(failures_allowed=FAILED_PROBES - 1)

    async def believe_at_once(self) -> bool:
        """Find out whether records can be written, with a single probe; return whether they can.

        At a start nothing is known of the failures before it, and energy waits for the answer.
        """
        await self._look_for_room()
        return await self._judge(failures_allowed=0)

    async def _judge(self, *, failures_allowed: int) -> bool:
        """Write something, and draw the conclusion from all probes so far; return whether it could be written.

        On a disk without room it is not tried: a page that is changed may find its place in the log again and again
        where the rows of a session find none.
        """
        problem = "the disk is full" if self._is_short else await self._why_unwritable()
        if problem is None:
            self._in_doubt, self._failed, self._failed_probes = False, False, 0
            self._report.set_faults(FAULT_SOURCE, frozenset())
            return True
        self._failed_probes += 1
        if self._failed_probes > failures_allowed and not self._failed:
            logger.error("records cannot be written, energy is withdrawn: %s", problem)
            self._failed = True
            fault = frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE})
            self._report.set_faults(FAULT_SOURCE, fault, info=NOT_RECORDED)
        return False

    async def _why_unwritable(self) -> str | None:
        try:
            await self._database(write_probe.write)
            if self._failed:
                await self._database(event_log.log, "records.writable", at=clock.now())
        except (DatabaseError, OSError) as error:
            return str(error)
        return None

    async def _look_for_room(self) -> None:
        """Find out whether the disk is nearly full: the end of a session may not find room any more."""
        try:
            was_short, self._is_short = self._is_short, await self._database(write_probe.is_short_of_room)
        except (DatabaseError, OSError):
            return
        if self._is_short and not was_short:
            logger.error("the disk is full: no session begins until there is room")
        elif was_short and not self._is_short:
            logger.warning("the disk has room again")

    def close(self) -> None:
        """Wait for what was begun."""
        self._database.close()
