"""Taking over what a restart or a power cut interrupted: every open session is resumed or closed, once."""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from django.db import DatabaseError

from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.session import RunningSession
from hardware.runtime.session_end import NO_CURRENT, Stop, flows
from hardware.runtime.session_records import SessionRecords
from hardware.runtime.start_responses import StartResponses
from hardware.runtime.state import Changes, StationState
from hardware.runtime.status_writer import StatusWriter
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.faults import FaultCode
from station.domain.pilot import CONNECTED
from station.domain.units import WattHour
from station.models import ChargingSession
from station.services import connectors, event_log, interrupted_sessions

logger = logging.getLogger(__name__)

# How long the first look at plugs and the first statuses may hold up the start.
FIRST_LOOK_S = 1.0
# How long the devices may take to answer before a session is decided without them.
DEVICES_ANSWER_S = 6.0
# Whoever was away longer than this cannot know that it is still the same car.
SAME_CAR = timedelta(minutes=5)
# How long the start waits for each session that ends; after that it ends beside the others.
START_WAITS_S = 3.0
# Energy may flow for so long without a control loop in control; a locked database costs up to 10 s for every write.
CONTROLS_S = 20.0
READ_AGAIN_S = 1.0
FAULT_SOURCE = "recovery"
_Result = TypeVar("_Result")


class Contact(Protocol):
    """The contact of the grid operator's control box."""

    async def until_decided(self) -> None:
        """Wait until it was read, or counts as silent."""


class Recovery:
    """Runs once per start, before limits are applied and cards are served."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        *,
        changes: Changes,
        reservations: ReservationCache,
        session_records: SessionRecords,
        dimming: Contact,
        limits: LimitLoop,
        start_responses: StartResponses,
        statuses: StatusWriter,
        wake_ups: WakeUps,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._changes = changes
        self._reservations = reservations
        self._session_records = session_records
        self._dimming = dimming
        self._limits = limits
        self._start_responses = start_responses
        self._statuses = statuses
        self._wake_ups = wake_ups
        self._records_were_writable = True
        # Whose energy this start itself has withdrawn.
        self._released: set[int] = set()
        self._tasks = BackgroundTasks(logger)

    async def run(self) -> None:
        """Decide about every open session; then the station is ready."""
        withdrawal = asyncio.create_task(self._withdraw_when_late())
        try:
            going_on = await self._settle_sessions()
            self._limits.assume_present_draw()
            # Which points are kept depends on the sessions; it has to be known before the first car is seen.
            await self._reservations.reload()
            await self._take_control()
        finally:
            withdrawal.cancel()
        for row in going_on:
            if row.deauthorized_at is not None and row.energy_allowed_wh is None:
                # The power went between the backend's refusal and its consequence.
                await self._start_responses.stop_refused_session(self._points[row.connector_id])
        # The backend may have answered a start, or refused its card, while nobody was there to hear it.
        await self._start_responses.catch_up()
        self._wake_ups.outbox_changed()
        await self._tell_first_statuses()
        await self._records.attempt(event_log.log, "station.started", at=clock.now())

    async def _withdraw_when_late(self) -> None:
        """Withdraw what boards still release while a locked database, or whatever it is, keeps anybody from control."""
        await asyncio.sleep(CONTROLS_S)
        logger.error("nobody controls the charging points after %.0f s, energy is withdrawn until then", CONTROLS_S)
        self._released = {number for number, point in self._points.items() if point.status and point.status.enabled}
        await asyncio.gather(*(point.actuator.disable() for point in self._points.values()))

    async def _settle_sessions(self) -> list[ChargingSession]:
        """Resume the sessions that can go on and return them; bring the others to their end."""
        open_rows = await self._read_open_sessions()
        await asyncio.gather(
            self._dimming.until_decided(), *(self._wait_for_devices(point) for point in self._points.values())
        )
        if open_rows:
            # Before any energy is released: what flows then must be written down, and so must the stop that ends it.
            self._records_were_writable = await self._records.believe_at_once()
        going_on = [row for row in open_rows if self._can_go_on(row)]
        judged = [await self._guarded(row, self._interruption_of(row)) for row in open_rows if row not in going_on]
        interrupted = [each for each in judged if each is not None]
        # The backend hears of things in the order they happened (OCPP 1.6 section 3.7): ends before further samples.
        for row, stop in sorted(interrupted, key=lambda each: each[1].at.at):
            await self._guarded(row, self._bring_to_end(row, stop))
        going_on = [row for row in going_on if await self._guarded(row, self._resume(row))]
        for point in self._points.values():
            point.load_last_session(await self._records.attempt(connectors.last_session, point.number))
        return going_on

    async def _read_open_sessions(self) -> list[ChargingSession]:
        """Read the open sessions, for as long as it takes.

        Without them nothing may begin: the next driver would meet a session that nobody knows. Energy that boards still
        release is withdrawn meanwhile, as nothing of it could be written down.
        """
        while True:
            try:
                return await self._records.execute(interrupted_sessions.open_sessions)
            except (DatabaseError, OSError) as error:
                self._records.report_failure(error)
                await asyncio.gather(*(point.actuator.disable() for point in self._points.values()))
                await asyncio.sleep(READ_AGAIN_S)

    async def _take_control(self) -> None:
        """From here on events count and boards are told what they shall do."""
        settled = [point for point in self._points.values() if point.take_control()]
        self._state.end_recovery()
        if settled:
            await self._records.attempt(connectors.store_availability, [point.availability for point in settled])

    async def _tell_first_statuses(self) -> None:
        await asyncio.gather(*(self._look_at_plug(point) for point in self._points.values()))
        for point in self._points.values():
            point.tell_changed()
        self._changes.station_changed()
        with contextlib.suppress(TimeoutError):
            # Not `wait_for`: on Python 3.11 it can swallow a cancellation that meets the result.
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._statuses.all_written()
        self._state.first_statuses_are_written()

    async def _wait_for_devices(self, point: ChargingPoint) -> None:
        deadline_s = clock.monotonic_s() + DEVICES_ANSWER_S
        while clock.monotonic_s() < deadline_s:
            if point.status is not None and (point.reading is not None or point.meter is None):
                return
            await asyncio.sleep(0.02)

    async def _look_at_plug(self, point: ChargingPoint) -> None:
        """Read the plug before anything is reported, or the point would look free for a moment."""
        deadline_s = clock.monotonic_s() + FIRST_LOOK_S
        while clock.monotonic_s() < deadline_s:
            if not point.has_undecided_plug:
                return
            point.poll_faster(0.3)
            await asyncio.sleep(0.02)

    def _can_go_on(self, row: ChargingSession) -> bool:
        point = self._points.get(row.connector_id)
        if point is None or row.stop_requested_at is not None:
            return False
        now = clock.stamp()
        known = not interrupted_sessions.is_of_another_boot(row, now) and now.since(row.last_sign) < SAME_CAR
        return known and self._has_its_car(point, row) and not self._may_have_been_stopped(point)

    def _has_its_car(self, point: ChargingPoint, row: ChargingSession) -> bool:
        """Return whether the car is there; behind a board that does not answer, the meter shows it by its current."""
        if point.status is not None:
            return point.status.pilot in CONNECTED
        if point.flowing > NO_CURRENT:
            return True
        return point.reading is not None and flows(point.reading, WattHour(row.meter_last_wh))

    def _may_have_been_stopped(self, point: ChargingPoint) -> bool:
        """Return whether somebody may have stopped the session without a trace: energy is off, and no stop can be kept.

        It is not released again for a card that may have said goodbye.
        """
        is_off = point.status is None or not (point.status.enabled or point.number in self._released)
        return is_off and not self._records_were_writable

    async def _guarded(self, row: ChargingSession, work: Coroutine[Any, Any, _Result]) -> _Result | None:
        """Do something about one session; one that cannot be recovered keeps its own point, and no other, from working.

        Its row stays as it is, and the next start tries again.
        """
        try:
            return await work
        except Exception:
            logger.exception("session %d on connector %d cannot be recovered", row.pk, row.connector_id)
        point = self._points.get(row.connector_id)
        if point is not None:
            await point.actuator.disable()
            point.set_faults(FAULT_SOURCE, frozenset({FaultCode.INTERNAL_ERROR}))
        await self._records.attempt(
            event_log.log, "session.not_recovered", at=clock.now(), connector_id=row.connector_id, session_id=row.pk
        )
        return None

    async def _resume(self, row: ChargingSession) -> bool:
        """Go on with a session; return that nothing stood in the way."""
        point = self._points[row.connector_id]
        logger.warning("session %d on point %d goes on after a restart", row.pk, point.number)
        if point.status is None:
            # Known by now, however few polls a slow line has allowed: nothing is released at a board nobody hears.
            point.set_faults("silence", frozenset({FaultCode.EVSE_COMMUNICATION_ERROR}))
        point.resume(RunningSession.of(row), point.status)
        await self._records.attempt(
            event_log.log, "session.resumed", at=clock.now(), connector_id=point.number, session_id=row.pk
        )
        return True

    async def _interruption_of(self, row: ChargingSession) -> tuple[ChargingSession, Stop]:
        """Return how a session ends that does not go on: as it was stopped, or by the loss of power."""
        if row.stop_requested is not None:
            return row, Stop(reason=row.stop_reason, id_tag=row.stop_id_tag, at=row.stop_requested)
        alive = await self._records.attempt(interrupted_sessions.last_sign_of_life, row) or row.last_sign
        return row, Stop(reason="PowerLoss", id_tag="", at=alive)

    async def _bring_to_end(self, row: ChargingSession, stop: Stop) -> None:
        """Close the session with the register of its meter; a point at which that takes longer stays occupied."""
        logger.warning("session %d on connector %d ends after a restart: %s", row.pk, row.connector_id, stop.reason)
        session = RunningSession.of(row)
        await self._session_records.request_stop(session, reason=stop.reason, id_tag=stop.id_tag, at=stop.at)
        point = self._points.get(row.connector_id)
        if point is None:
            self._tasks.spawn(
                self._session_records.close_orphan(session, reason=stop.reason, id_tag=stop.id_tag, at=stop.at)
            )
            return
        await point.actuator.disable()
        point.resume_ending(session, stop, point.status)
        await point.until_session_is_over(START_WAITS_S)
