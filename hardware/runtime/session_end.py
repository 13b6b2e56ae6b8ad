"""The end of a session, step by step: the current has ended, the final register is read, the end is written.

It runs beside the point, which goes on watching pilot and lock: a car may take seconds to end its current, a signing
meter half a minute to sign, and a board that does not obey for ever.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any, Protocol

from hardware.runtime.point_meter import METER_ANSWERS_S
from hardware.runtime.session import RunningSession
from hardware.runtime.session_records import WRITE_AGAIN_S, SessionEnd, SessionRecords
from hardware.runtime.signed_values import SignedValue
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.faults import FaultCode
from station.domain.ports import ControllerStatus, DeviceFailed, MeterReading, ReadingUnusable
from station.domain.stamps import Stamp
from station.domain.supervision import highest_current
from station.domain.units import MilliAmpere, WattHour

logger = logging.getLogger(__name__)

# IEC 61851-1 table A.6: a car ends its current within 3 s after the pilot signal ended; after 6 s the contactor opens
# under load. Current that still flows then is a fault of the contactor or of the way to it.
CURRENT_ENDS_S = 6.0
NO_CURRENT = MilliAmpere(500)
# A board that has been away for so long while the meter shows no current, or is away, too, has no power itself.
BOARD_ANSWERS_S = 60.0
LOOK_S = 0.1
LOOK_AT_LASTING_CURRENT_S = 1.0
FAULT_SOURCE = "session end"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why and by whom a session was stopped, and when."""

    reason: str
    id_tag: str
    at: Stamp

    @property
    def facts(self) -> dict[str, Any]:
        """What a rebuilt database has to know of the end of a session besides what its meter has signed."""
        return {"reason": self.reason, "id_tag": self.id_tag, "stopped": self.at.encode()}


class EndingPoint(Protocol):
    """A charging point as the end of its session sees it."""

    number: int

    @property
    def has_meter(self) -> bool:
        """Whether there is a meter to ask."""

    @property
    def meter_serial(self) -> str:
        """The serial number of the meter, as far as it is known."""

    async def read_controller(self) -> ControllerStatus:
        """Read the controller now; raises DeviceFailed."""

    async def read_meter(self) -> MeterReading:
        """Read the meter now; raises DeviceFailed."""

    async def signed_end(self, session: RunningSession, stop: Stop) -> SignedValue | None:
        """Let the meter sign the end; None where it does not sign, or does not answer in its time."""

    def set_faults(self, source: str, codes: frozenset[FaultCode]) -> bool:
        """Take what one source reports to be wrong; return whether that is news."""

    def tell_changed(self) -> None:
        """Tell that session, phase or faults have changed."""

    def session_ended(self, end: SessionEnd) -> None:
        """Forget the session: its end is written."""

    async def current_ended(self) -> None:
        """Let the plug go: nothing flows any more."""


class SessionEnding:
    """Brings sessions of one charging point to their end. Energy has been withdrawn before."""

    def __init__(self, point: EndingPoint, session_records: SessionRecords) -> None:
        self._point = point
        self._session_records = session_records
        self._tasks = BackgroundTasks(logger)

    def begin(self, session: RunningSession, stop: Stop) -> None:
        """Bring the session to its end, however long that takes; the point hears `session_ended`."""
        session.begin_ending()
        self._tasks.spawn(self._run(session, stop))

    async def _run(self, session: RunningSession, stop: Stop) -> None:
        recording = self._tasks.spawn(self._until_stop_is_recorded(session, stop))
        while True:
            try:
                end = await self._make_end(session, stop)
                break
            except Exception:
                # Whatever is wrong: a session that nobody ends is not billed, and its cable is never let go.
                logger.exception("session %d: its end failed and is tried again", session.id)
                await asyncio.sleep(WRITE_AGAIN_S)
        recording.cancel()
        self._point.session_ended(end)
        try:
            await self._session_records.reload_dependents()
        finally:
            await self._point.current_ended()

    async def _make_end(self, session: RunningSession, stop: Stop) -> SessionEnd:
        """Bring the session to its end and write that down."""
        reading = await self._until_current_has_ended()
        if reading is None:
            logger.warning("session %d ends with the register written down last: the meter is silent", session.id)
        if self._point.set_faults(FAULT_SOURCE, frozenset()):
            self._point.tell_changed()
        if not session.is_measured_by(self._point.meter_serial):
            logger.error("session %d ends with another meter than it began with", session.id)
            reading = None
        signed = await self._point.signed_end(session, stop)
        end = self._session_records.end_of(
            session, reason=stop.reason, id_tag=stop.id_tag, at=stop.at, reading=reading, signed=signed
        )
        if not await self._session_records.end(end):
            # The session has ended in fact, and the driver shall not be held up. It is written down later; until then
            # no other can begin here.
            await self._point.current_ended()
            while not await self._session_records.end(end):
                await asyncio.sleep(WRITE_AGAIN_S)
        return end

    async def _until_stop_is_recorded(self, session: RunningSession, stop: Stop) -> None:
        """Write down that the session was stopped, however often it takes: a restart must not release energy again."""
        while not session.stop_is_recorded:
            await asyncio.sleep(WRITE_AGAIN_S)
            if not session.stop_is_recorded:
                await self._session_records.request_stop(session, reason=stop.reason, id_tag=stop.id_tag, at=stop.at)

    async def _until_current_has_ended(self) -> MeterReading | None:
        """Wait until nothing flows any more; return the final reading, None where the meter does not answer.

        A session is not closed while its meter shows current, whatever the board says.
        """
        began_s = clock.monotonic_s()
        board_s = meter_s = began_s
        register_before: WattHour | None = None
        while True:
            status = await self._ask_controller()
            reading, flows = await self._ask_meter(register_before)
            now_s = clock.monotonic_s()
            board_s = now_s if status is not None else board_s
            meter_s = now_s if reading is not None else meter_s
            late = now_s - began_s >= CURRENT_ENDS_S
            if flows:
                register_before = reading.import_energy if reading is not None else register_before
                if late:
                    self._report_lasting_current(status)
                await asyncio.sleep(LOOK_AT_LASTING_CURRENT_S if late else LOOK_S)
                continue
            # The feedback of a contactor may be broken; a car that has had its time and draws nothing has ended.
            off = status is not None and not status.enabled and (status.contactor_closed is not True or late)
            board_is_gone = status is None and now_s - board_s >= BOARD_ANSWERS_S
            meter_is_gone = not self._point.has_meter or now_s - meter_s >= METER_ANSWERS_S
            if (off or board_is_gone) and (reading is not None or meter_is_gone):
                return reading
            register_before = reading.import_energy if reading is not None else register_before
            await asyncio.sleep(LOOK_S)

    def _report_lasting_current(self, status: ControllerStatus | None) -> None:
        code = FaultCode.EVSE_COMMUNICATION_ERROR if status is None else FaultCode.POWER_SWITCH_FAILURE
        if self._point.set_faults(FAULT_SOURCE, frozenset({code})):
            logger.error("point %d: current flows although energy was withdrawn", self._point.number)
            self._point.tell_changed()

    async def _ask_controller(self) -> ControllerStatus | None:
        try:
            return await self._point.read_controller()
        except DeviceFailed:
            # Its silence is a fault of its own, found and told by whoever polls it.
            return None

    async def _ask_meter(self, register_before: WattHour | None) -> tuple[MeterReading | None, bool]:
        """Return what the meter tells, None if nothing that could be billed, and whether it shows current."""
        if not self._point.has_meter:
            return None, False
        try:
            reading = await self._point.read_meter()
        except ReadingUnusable as error:
            return None, highest_current(error.phases) > NO_CURRENT
        except DeviceFailed:
            return None, False
        return reading, flows(reading, register_before)


def flows(reading: MeterReading, register_before: WattHour | None) -> bool:
    """Return whether current flows; a meter that measures none shows it by its register."""
    if any(current is not None for current in reading.currents):
        return highest_current(reading) > NO_CURRENT
    return register_before is None or reading.import_energy > register_before
