"""What devices tell, and what becomes of it. The pollers call it; a poll waits until its news is dealt with."""

import logging
from collections.abc import Mapping

from hardware.runtime.admission import Admission
from hardware.runtime.dimming import Dimming
from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.snapshot_publisher import SnapshotPublisher
from hardware.runtime.start_responses import StartResponses
from hardware.runtime.state import StationState
from station import clock
from station.domain.faults import CATALOGUE, FaultCode, Scope
from station.domain.ports import Signal, StationInputs, Tag, TagReader
from station.domain.steady_faults import SteadyFaults
from station.services import event_log, sessions

logger = logging.getLogger(__name__)

# A contact that is read for the second time and still closed has stopped bouncing.
CONTACT_RAISED_S, CONTACT_CLEARED_S = 0.2, 2.0


class DeviceEvents:
    """Passes on what controllers, meters, readers and inputs tell."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        *,
        dimming: Dimming,
        limits: LimitLoop,
        reservations: ReservationCache,
        admission: Admission,
        start_responses: StartResponses,
        snapshots: SnapshotPublisher,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._dimming = dimming
        self._limits = limits
        self._reservations = reservations
        self._admission = admission
        self._start_responses = start_responses
        self._snapshots = snapshots
        # None: nothing was read yet; an entry of before a restart may still be open.
        self._lamp_problem: str | None = None
        self._contacts = SteadyFaults[tuple[int, FaultCode]](
            raised_after_s=CONTACT_RAISED_S, cleared_after_s=CONTACT_CLEARED_S
        )

    # --- controllers and meters

    def observed(self, point: ChargingPoint) -> None:
        """Take a poll of the controller that the point has taken."""
        if point.take_button_press():
            self._admission.button_pressed(point)
        self._snapshots.refresh_if_moved(point)

    async def measured(self, point: ChargingPoint) -> None:
        """Take a reading of the meter."""
        self._snapshots.refresh_if_moved(point)
        session = point.session
        if session is None or point.reading is None:
            return
        if session.take_ceiling_reached(point.reading.import_energy):
            await self._start_responses.stop_refused_session(point)
        elif session.take_note_due():
            await self.note_register(point)

    async def note_register(self, point: ChargingPoint) -> None:
        """Write the newest register of a session down, so that a power cut loses little."""
        if point.session and point.reading:
            session, register = point.session, point.reading.import_energy
            if session.ending and not session.stop_is_recorded:
                # A note of this boot without a word of the stop would let a restart go on with the session.
                return
            if session.is_measured_by(point.meter_serial):
                session.note_is_written(register)
                await self._records.attempt(
                    sessions.note_meter,
                    session.id,
                    register=register,
                    at=clock.stamp(),
                    limited_by=session.limited_by,
                )

    async def point_faults_changed(self, point: ChargingPoint) -> None:
        """Withdraw or give back energy, and end reservations nobody can use."""
        point.tell_changed()
        await self._limits.apply()
        await self._reservations.end_hopeless()

    def station_faults(self, source: str, codes: frozenset[FaultCode]) -> None:
        """Take what a device reports to be wrong with the station as a whole."""
        self._state.set_faults(source, codes)

    # --- readers and inputs

    def tapped(self, tag: Tag, connector_id: int | None, reader: TagReader) -> None:
        """Take a card held to a reader."""
        self._admission.tapped(tag, connector_id, reader)

    def reader_changed(self, connector_id: int | None, *, is_healthy: bool) -> None:
        """Take whether a card reader works."""
        codes = frozenset[FaultCode]() if is_healthy else frozenset({FaultCode.READER_FAILURE})
        self._state.set_faults(f"reader {connector_id or 0}", codes)

    async def inputs(self, inputs: StationInputs) -> None:
        """Take a poll of the auxiliary contacts."""
        if inputs.lamp_problem != self._lamp_problem:
            self._lamp_problem = inputs.lamp_problem
            await self._log_lamps()
        closed = inputs.closed.get(Signal.DIMMING)
        if closed is not None:
            self._dimming.read(closed=closed)
        reported = frozenset(
            (0 if CATALOGUE[code].scope is Scope.STATION else number, code)
            for number, codes in inputs.faults.items()
            for code in codes
        )
        self._contacts = self._contacts.judge(reported, at_s=clock.monotonic_s())
        self._state.set_faults("inputs", self._contacts_of(0))
        for number, point in self._points.items():
            if point.set_faults("inputs", self._contacts_of(number)):
                await self.point_faults_changed(point)

    async def _log_lamps(self) -> None:
        await self._records.attempt(event_log.end, "lamps.failed", at=clock.now())
        if self._lamp_problem:
            logger.warning("the lamps cannot be switched: %s", self._lamp_problem)
            await self._records.attempt(event_log.begin, "lamps.failed", at=clock.now(), reason=self._lamp_problem)

    def _contacts_of(self, number: int) -> frozenset[FaultCode]:
        return frozenset(code for place, code in self._contacts.counting if place == number)
