"""Reading and writing records, and whether they can be written."""

import logging
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar

from django.db import DatabaseError

from hardware.runtime.database import DatabaseThread
from station import clock
from station.domain.faults import FaultCode
from station.services import event_log

logger = logging.getLogger(__name__)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

FAULT_SOURCE = "records"


class RecordUnwritable(Exception):
    """The record of a session could not be written."""


class FaultReport(Protocol):
    """Where it is reported that records cannot be written."""

    def set_faults(self, source: str, codes: frozenset[FaultCode]) -> None:
        """Take what one source reports."""


class RecordStore:
    """Access to the database. While `failed`, no session begins: what cannot be written down must not happen."""

    def __init__(self, database: DatabaseThread, report: FaultReport) -> None:
        self._database = database
        self._report = report
        self._failed = False

    @property
    def failed(self) -> bool:
        """Whether records cannot be written at present."""
        return self._failed

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
        """Refuse new sessions until records can be written again."""
        if not self._failed:
            logger.error("records cannot be written: %s", error)
        self._failed = True
        self._report.set_faults(FAULT_SOURCE, frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}))

    async def probe(self) -> None:
        """Find out, after a failure, whether records can be written again."""
        if not self._failed:
            return
        try:
            await self._database(event_log.log, "records.writable", at=clock.now())
        except (DatabaseError, OSError):
            return
        self._failed = False
        self._report.set_faults(FAULT_SOURCE, frozenset())

    def close(self) -> None:
        """Wait for what was begun."""
        self._database.close()
