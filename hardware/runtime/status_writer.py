"""The status of every connector: found from the present, written to its row, told to the OCPP process, in order."""

import asyncio
from collections import deque
from collections.abc import Mapping
from datetime import datetime

from django.db import DatabaseError
from django.utils import translation

from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.state import StationState
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.domain.faults import FaultCode, worst
from station.services import connectors
from station.services.connectors import REVISIONS_KEPT_FREE, StatusRecord
from station.ui import words

MAX_INFO = 50
WRITE_AGAIN_S = 1.0


def record_of_point(point: ChargingPoint, at: datetime) -> StatusRecord:
    """Describe a charging point."""
    return _record(
        point.number,
        status=point.ocpp_status,
        codes=point.active_faults,
        said=point.fault_infos,
        info=point.finishing_info if point.ocpp_status == "Finishing" else "",
        at=at,
        phase=point.state.phase.value,
        phase_since=point.phase_since,
    )


def record_of_station(state: StationState, at: datetime) -> StatusRecord:
    """Describe the station as a whole (OCPP connector 0)."""
    return _record(
        0,
        status="Faulted" if state.blocked else "Available" if state.operative else "Unavailable",
        codes=state.active_faults,
        said=state.fault_infos,
        # No fault: the status stays what it is. The backend's people read why there is less power.
        info=_dimmed_info(state),
        at=at,
        phase="station",
        phase_since=state.started_at,
    )


def _record(
    number: int,
    *,
    status: str,
    codes: frozenset[FaultCode],
    said: Mapping[FaultCode, str],
    info: str,
    at: datetime,
    phase: str,
    phase_since: datetime,
) -> StatusRecord:
    kind = worst(codes)
    return StatusRecord(
        number=number,
        phase=phase,
        phase_since=phase_since,
        status=status,
        error_code=kind.ocpp_error_code if kind else "NoError",
        info=(said.get(kind.code) or _fault_info(kind.code) if kind else info)[:MAX_INFO],
        vendor_error_code=(kind.vendor_error_code or "") if kind else "",
        faults=tuple(sorted(code.value for code in codes)),
        at=at,
    )


def _dimmed_info(state: StationState) -> str:
    if state.dimmed_to is not None:
        return f"Dimmed by the grid operator to {state.dimmed_to} W"
    # The power is that of all stations together, of which this one does not know its part.
    return "Dimmed by the grid operator" if state.is_dimmed_with_others else ""


def _fault_info(code: FaultCode) -> str:
    # The backend's people read English, whatever language a page on the laptop has.
    with translation.override("en"):
        return str(words.FAULTS[code])


class StatusWriter:
    """Writes statuses in the order they came about."""

    def __init__(
        self, points: Mapping[int, ChargingPoint], state: StationState, records: RecordStore, wake_ups: WakeUps
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._wake_ups = wake_ups
        self._queue: asyncio.Queue[StatusRecord] = asyncio.Queue()
        self._last: dict[int, StatusRecord] = {}
        # The revision in the table, as far as this process has written one.
        self._revisions: dict[int, int] = {}
        # Whose revision is beyond all that this process, or one before it, may have told without writing them.
        self._has_jumped: set[int] = set()
        self._unwritten: deque[StatusRecord] = deque()
        # How many of the unwritten ones, the oldest first, the OCPP process has heard already.
        self._told = 0

    def point_changed(self, number: int) -> None:
        """Have the status of a charging point written, if it is another one."""
        if not self._state.started and self._points[number].has_undecided_plug:
            # Whatever changes in the first moments of a start: a point with a car must not look free.
            return
        self._take(record_of_point(self._points[number], clock.now()))

    def station_changed(self) -> None:
        """Have the status of the station written, if it is another one."""
        self._take(record_of_station(self._state, clock.now()))

    def _take(self, record: StatusRecord) -> None:
        last = self._last.get(record.number)
        if last is not None and _durable(last) == _durable(record):
            return
        self._last[record.number] = record
        self._queue.put_nowait(record)

    async def run(self) -> None:
        """Write and tell for ever, one after the other; what cannot be written is told all the same."""
        while True:
            if not self._unwritten:
                self._unwritten.append(await self._queue.get())
            record = self._unwritten[0]
            try:
                revision = await self._write(record)
            except DatabaseError as error:
                self._records.report_failure(error)
                await self._tell_unwritten()
                await asyncio.sleep(WRITE_AGAIN_S)
                continue
            self._unwritten.popleft()
            self._told = max(self._told - 1, 0)
            if not self._told:
                # Unless a later one was told already; an older one must not come after it.
                await self._wake_ups.status_changed(record, revision)
            self._queue.task_done()

    async def _write(self, record: StatusRecord) -> int:
        step = 1 if record.number in self._has_jumped else REVISIONS_KEPT_FREE
        revision = await self._records.execute(connectors.store_status, record, step=step)
        self._has_jumped.add(record.number)
        self._revisions[record.number] = revision
        return revision

    async def _tell_unwritten(self) -> None:
        """Tell what came about while nothing can be written, in order, with revisions that are kept free for it."""
        while not self._queue.empty():
            self._unwritten.append(self._queue.get_nowait())
        for record in list(self._unwritten)[self._told :]:
            earlier = sum(each.number == record.number for each in list(self._unwritten)[: self._told])
            written = self._revisions.get(record.number)
            self._told += 1
            self._has_jumped.discard(record.number)
            if written is not None and earlier + 1 < REVISIONS_KEPT_FREE:
                await self._wake_ups.status_changed(record, written + earlier + 1)

    async def all_written(self) -> None:
        """Wait until every status so far is in the table."""
        await self._queue.join()


def _durable(record: StatusRecord) -> tuple[object, ...]:
    return (*record.notification, record.phase, record.faults)
