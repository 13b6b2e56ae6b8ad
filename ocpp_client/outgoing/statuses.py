"""StatusNotification: every change in its order while connected, the present state after a break (section 4.9)."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from datetime import datetime

from ocpp.v16 import call
from ocpp.v16.enums import ChargePointErrorCode, ChargePointStatus

from ocpp_client.connection.state import Acceptance, ConnectionState
from ocpp_client.database import in_database
from ocpp_client.rpc.calls import Calls, NotConnected, NotDelivered
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.moments import EARLIEST_STAMP, to_wire
from station.models import Connector
from station.services import configuration
from station.services.messages import StatusChanged

logger = logging.getLogger(__name__)

_MAX_INFO_LENGTH = 50
# OCPP 1.6 section 7.7: connector 0 knows only these.
_STATION_STATUSES = frozenset({"Available", "Unavailable", "Faulted"})


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the backend is to be told of one connector; `revision` counts its changes."""

    connector_id: int
    revision: int
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    at: str | None

    @property
    def content(self) -> tuple[str, ...]:
        """What makes two reports the same news."""
        return (self.status, self.error_code, self.info, self.vendor_error_code)

    def message(self, vendor: str) -> call.StatusNotification:
        """Make StatusNotification.req."""
        return call.StatusNotification(
            connector_id=self.connector_id,
            error_code=ChargePointErrorCode(self.error_code),
            status=ChargePointStatus(self.status),
            timestamp=self.at,
            info=self.info[:_MAX_INFO_LENGTH] or None,
            vendor_id=vendor if self.vendor_error_code else None,
            vendor_error_code=self.vendor_error_code[:_MAX_INFO_LENGTH] or None,
        )


@dataclass(frozen=True, kw_only=True)
class _Due:
    """When a change may be told that has to last for a while (MinimumStatusDuration)."""

    revision: int
    at_s: float


class StatusReporter:
    """Tells the backend the state of each connector."""

    def __init__(self, *, calls: Calls, state: ConnectionState) -> None:
        self._calls = calls
        self._state = state
        self._queue: deque[Report] = deque()
        self._due: dict[int, _Due] = {}
        self._sent: dict[int, Report] = {}
        self._seen: dict[int, int] = {}
        self._unseen: dict[int, int] = {}
        self._wake_up = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._vendor = ""

    @property
    def needs_second_look(self) -> bool:
        """Whether the table knows a change that no message has told yet."""
        return bool(self._unseen)

    def take(self, message: StatusChanged) -> None:
        """Note a change told by the control loop; while offline only the table remembers it."""
        report = _report_of(message)
        if report.revision <= self._seen.get(report.connector_id, -1):
            return
        self._seen[report.connector_id] = report.revision
        if self._state.flow.is_set() or self._one_at_a_time.locked():
            self._queue.append(report)
            self._wake_up.set()

    async def check_table(self) -> None:
        """Catch up with changes whose message was lost: those still unseen at the second look."""
        unseen: dict[int, int] = {}
        for report in await in_database(_present):
            if report.revision <= self._seen.get(report.connector_id, -1):
                continue
            unseen[report.connector_id] = report.revision
            if self._unseen.get(report.connector_id) is not None:
                self._seen[report.connector_id] = report.revision
                if self._state.flow.is_set():
                    self._queue.append(report)
                    self._wake_up.set()
        self._unseen = unseen

    async def report_all(self, acceptance: Acceptance) -> None:
        """Tell the present state of the station and every connector while the acceptance holds; raises NotConnected.

        Over a further connection only what has changed is told. A backend that refuses a status (some know no
        connector 0) is told the others, and what is owed afterwards.
        """
        async with self._one_at_a_time:
            self._queue.clear()
            self._due.clear()
            self._vendor = await in_database(configuration.get, "/identity/vendor")
            for report in await in_database(_present):
                if not acceptance.holds():
                    return
                self._seen[report.connector_id] = max(report.revision, self._seen.get(report.connector_id, -1))
                last = self._sent.get(report.connector_id)
                if not acceptance.full and last is not None and last.content == report.content:
                    continue
                try:
                    await self._send(report)
                except NotConnected:
                    raise
                except NotDelivered as failure:
                    logger.warning("The status of connector %d was not taken: %s", report.connector_id, failure.code)

    async def report(self, connector_id: int | None) -> None:
        """Tell the state of one connector (None: of all) because the backend has asked."""
        async with self._one_at_a_time:
            for report in await in_database(_present):
                if connector_id in {None, report.connector_id}:
                    await self._send(report)

    async def run(self) -> None:
        """Report changes for as long as the process lives."""
        while True:
            await self._state.flow.wait()
            try:
                pause_s = await self.step()
            except NotConnected:
                # Not queued and not repeated: the next connection tells the state of then.
                pause_s = None
            except NotDelivered:
                continue
            if pause_s != 0:
                await wait_or_timeout(self._wake_up, pause_s)

    async def step(self) -> float | None:
        """Send the oldest change; return the seconds until one is due, None when there is none."""
        self._wake_up.clear()
        minimum_s = await in_database(configuration.get_int, "MinimumStatusDuration")
        async with self._one_at_a_time:
            if not self._queue:
                return None
            if minimum_s:
                pause_s = self._wait_for_rest(minimum_s)
                if pause_s:
                    return pause_s
            report = self._queue.popleft()
            last = self._sent.get(report.connector_id)
            # The table may have told a later state already; an older one must not come after it.
            if last is None or (last.content != report.content and last.revision < report.revision):
                await self._send(report)
            return 0

    def _wait_for_rest(self, minimum_s: int) -> float:
        """Keep only the newest change of each connector and let it age (MinimumStatusDuration)."""
        newest = {report.connector_id: report for report in self._queue}
        now_s = clock.monotonic_s()
        for connector_id, report in newest.items():
            due = self._due.get(connector_id)
            if due is None or due.revision != report.revision:
                self._due[connector_id] = _Due(revision=report.revision, at_s=now_s + minimum_s)
        ordered = sorted(newest.values(), key=lambda report: self._due[report.connector_id].at_s)
        self._queue = deque(ordered)
        return max(0.0, self._due[ordered[0].connector_id].at_s - now_s)

    async def _send(self, report: Report) -> None:
        await self._calls.call(report.message(self._vendor))
        self._sent[report.connector_id] = report


def _report_of(message: StatusChanged) -> Report:
    return Report(
        connector_id=message.connector_id,
        revision=message.revision,
        status=message.status,
        error_code=message.error_code,
        info=message.info,
        vendor_error_code=message.vendor_error_code,
        at=_told(message.at),
    )


def _told(at: datetime) -> str | None:
    """Write a moment as it is told; what a clock says that has lost its time is not."""
    return None if at < EARLIEST_STAMP else to_wire(at)


def _present() -> list[Report]:
    """Read the state of the station (0) and every connector from the table."""
    rows = {row.number: row for row in Connector.objects.all()}
    now = clock.now()
    reports = []
    for number in range(configuration.get_int("NumberOfConnectors") + 1):
        row = rows.get(number) or Connector(number=number)
        status = row.status
        if number == 0 and status not in _STATION_STATUSES:
            status = "Available"
        reports.append(
            Report(
                connector_id=number,
                revision=row.status_revision,
                status=status,
                error_code=row.error_code,
                info=row.info,
                vendor_error_code=row.vendor_error_code,
                at=_told(row.status_at or now),
            )
        )
    return reports
