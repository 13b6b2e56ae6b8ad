"""One charging point: its devices polled, its machine stepped, the machine's effects carried out in order."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from django.db import DatabaseError, IntegrityError

from hardware.runtime.actuator import Actuator
from hardware.runtime.session import RunningSession
from hardware.runtime.surroundings import JournalUnwritableError, Surroundings
from station import clock
from station.concurrency import BackgroundTasks
from station.domain import connector as machine
from station.domain.connector import (
    BeginSession,
    CancelTimer,
    DisableCharging,
    Effect,
    EnableCharging,
    EndSession,
    Event,
    IllegalTransitionError,
    LockPlug,
    Overlay,
    Permission,
    Phase,
    RecordFailed,
    StartTimer,
    State,
    Timer,
    UnlockPlug,
)
from station.domain.faults import CATALOGUE, FaultCode
from station.domain.limits import EffectiveLimit
from station.domain.meter_values import MeterValue, ReadingContext, Sample, meter_value
from station.domain.pilot import PilotFilter
from station.domain.ports import (
    ControllerIdentity,
    ControllerStatus,
    DeviceError,
    EvseController,
    Meter,
    MeterIdentity,
    MeterReading,
)
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere, WattHour
from station.services import sessions

log = logging.getLogger(__name__)

# How long a car may take to ask for energy before a session counts as suspended by the car; the standard gives it 3 s
# to close S2 plus the time to wake up.
REACTION_S = 3.0
# IEC 61851-1 table A.6: a car ends its current within 3 s after the pilot signal ended; after 6 s the contactor opens
# under load. Then at the latest the final register stands still.
CURRENT_ENDS_S = 6.0
NO_CURRENT = MilliAmpere(500)
LOCK_MOVES_S = 3.0
WRITE_AGAIN_S = 1.0
# A register read with an open contactor cannot have moved since.
REGISTER_IS_FRESH_S = 5.0


@dataclass(kw_only=True)
class Equipment:
    """What is known of the devices of a point."""

    controller: ControllerIdentity | None = None
    meter: MeterIdentity | None = None
    controller_ok: bool = False
    meter_ok: bool = False
    is_news: bool = False


class ChargingPoint:
    """The live half of a connector; its durable half is in the database.

    Events are handled one after the other; if the session record cannot be written, the session is turned back before
    energy is released.
    """

    def __init__(
        self,
        number: int,
        *,
        controller: EvseController,
        meter: Meter | None,
        has_lock: bool,
        surroundings: Surroundings,
    ) -> None:
        self.number = number
        self.controller = controller
        self.meter = meter
        self.actuator = Actuator(controller, has_lock=has_lock)
        self.equipment = Equipment()
        self.state = State(permitted=True)
        self.phase_since = clock.now()
        self.pilot = PilotFilter()
        self.status: ControllerStatus | None = None
        self.reading: MeterReading | None = None
        self.reading_at: datetime | None = None
        self.session: RunningSession | None = None
        self.effective: EffectiveLimit | None = None
        self.faults: dict[str, frozenset[FaultCode]] = {}
        self.operative = True
        self.scheduled_operative: bool | None = None
        self.reserved = False
        # Out of service for a software update, without touching what the operator has set.
        self.held_back = False
        # False while a restart is being recovered from: the board goes on as it was left, and nothing is concluded.
        self.in_control = False
        self.button_was_pressed = False
        self.kept_locked_for: str | None = None
        self.finishing_info = ""
        self.deadlines: dict[Timer, float] = {}
        # When the controller was last asked, whether it answered or not.
        self.served_at_s = clock.monotonic_s()
        self.kick = asyncio.Event()
        self.hurry_until_s = 0.0
        self._around = surroundings
        self._lock = asyncio.Lock()
        self._tasks = BackgroundTasks(log)

    # --- what others ask

    @property
    def active_faults(self) -> frozenset[FaultCode]:
        """All faults of this point, from whichever witness."""
        return frozenset[FaultCode]().union(*self.faults.values())

    @property
    def blocked(self) -> bool:
        """Whether a fault puts the point out of order."""
        return any(CATALOGUE[code].faulted for code in self.active_faults)

    @property
    def overlay(self) -> Overlay:
        """What the backend sees over the phase."""
        return Overlay(faulted=self.blocked, operative=self.operative and not self.held_back, reserved=self.reserved)

    @property
    def ocpp_status(self) -> str:
        """The ChargePointStatus now."""
        return machine.status_of(self.state.phase, self.overlay)

    @property
    def busy(self) -> bool:
        """Whether somebody uses this point already."""
        return self.state.has_session or self.state.phase is Phase.AUTHORIZED

    @property
    def waits_for_card(self) -> bool:
        """Whether a car is plugged in that nobody has paid for yet."""
        return self.state.phase is Phase.PLUGGED

    @property
    def register_wh(self) -> int | None:
        """The newest energy register."""
        return self.reading.import_energy if self.reading else None

    def hurry(self, seconds: float = 3.0) -> None:
        """Poll quickly for a while, because something is about to change."""
        self.hurry_until_s = max(self.hurry_until_s, clock.monotonic_s() + seconds)
        self.kick.set()

    # --- what happens

    def post(self, event: Event) -> None:
        """Handle an event soon, without waiting for it."""
        self._tasks.spawn(self.handle(event))

    async def handle(self, event: Event) -> bool:
        """Step the machine and carry out what it asks; answers whether the event had a meaning here."""
        async with self._lock:
            return await self._handle(event)

    async def _handle(self, event: Event) -> bool:
        try:
            state, effects = machine.step(self.state, event)
        except IllegalTransitionError as error:
            log.debug("point %d: no meaning for %s", self.number, error)
            return False
        before, self.state = self.state, state
        if before.phase is not state.phase:
            self.phase_since = clock.now()
            self.hurry()
            if state.phase is not Phase.FINISHING:
                self.finishing_info = ""
        if isinstance(event, machine.PlugRemoved) and state.phase is Phase.FINISHING and before.has_session:
            self.finishing_info = "EV side disconnected"
        try:
            for effect in effects:
                await self._perform(effect)
        except JournalUnwritableError as error:
            self._around.journal_failed(error)
            await self._handle(RecordFailed())
        if self.settle_availability():
            await self.actuator.set_available(self.operative)
        self._around.changed(self)
        if before.phase is not Phase.PLUGGED and self.state.phase is Phase.PLUGGED:
            self._around.car_arrived(self)
        return True

    def settle_availability(self) -> bool:
        """Take over the availability that waited for the end of a session; answers whether there was one."""
        if self.state.has_session or self.scheduled_operative is None:
            return False
        self.operative, self.scheduled_operative = self.scheduled_operative, None
        self.actuator.available = self.operative
        return True

    async def observe(self, status: ControllerStatus) -> None:
        """Take one poll of the controller."""
        self.status = status
        if not self.in_control:
            return
        self.pilot, events = self.pilot.observe(status.pilot, status.cable, at_s=status.read_at_s)
        if self.pilot.doubt is not None:
            self.hurry(0.3)
        for event in events:
            await self.handle(event)
        await self.actuator.reconcile(status)

    async def check_timers(self, now_s: float) -> None:
        """Fire what is due."""
        due = [timer for timer, deadline in self.deadlines.items() if deadline <= now_s]
        for timer in due:
            del self.deadlines[timer]
            expired = machine.ConnectionTimedOut() if timer is Timer.CONNECTION else machine.ReactionTimedOut()
            await self.handle(expired)

    async def apply_limit(self, effective: EffectiveLimit) -> None:
        """Make a freshly computed limit real: signalled to the car, or energy withdrawn or released."""
        changed = self.effective is None or self.effective.limit != effective.limit
        self.effective = effective
        permitted = effective.limit >= MINIMUM_CURRENT
        if permitted:
            # While the point is locked out of energy the new value is only remembered; `enable` signals it.
            await self.actuator.set_limit(effective.limit)
        if permitted != self.state.permitted:
            event = machine.EnergyPermitted() if permitted else machine.EnergyForbidden()
            if self.state.has_session:
                await self.handle(event)
            else:
                # Without a session it is only remembered; waiting for a session that ends slowly would hold up the
                # limits of the other points.
                self.state, _ = machine.step(self.state, event)
                self._around.changed(self)
        elif changed:
            self._around.changed(self)

    # --- what is done

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case StartTimer(timer=timer):
                seconds = REACTION_S if timer is Timer.REACTION else self._around.seconds(timer)
                if seconds > 0:
                    self.deadlines[timer] = clock.monotonic_s() + seconds
            case CancelTimer(timer=timer):
                self.deadlines.pop(timer, None)
            case BeginSession(permission=permission):
                await self._begin_session(permission)
            case EndSession(reason=reason, id_tag=id_tag):
                await self._end_session(reason, id_tag)
            case EnableCharging():
                await self._enable()
            case DisableCharging():
                await self.actuator.disable()
            case LockPlug():
                # From here on the plug is held for this session; an earlier driver's card must not open it.
                self.kept_locked_for = None
                await self.actuator.lock()
            case UnlockPlug():
                self.kept_locked_for = None
                await self.actuator.unlock()
            case _:
                raise TypeError(effect)

    async def _enable(self) -> None:
        effective = self._around.limit_of(self)
        self.effective = effective
        if effective.limit < MINIMUM_CURRENT:
            self.post(machine.EnergyForbidden())
            return
        await self.actuator.set_limit(effective.limit)
        await self.actuator.enable()
        self.hurry()

    async def _begin_session(self, permission: Permission) -> None:
        reading = await self._register_for_start()
        # A card may have waited for its car while reservations came and went, or at another point.
        permission = replace(permission, reservation_id=self._around.reservation_used(self, permission))
        at = clock.now()
        sample = Sample(at=at, reading=reading, context=ReadingContext.TRANSACTION_BEGIN, offered=PAUSE)
        try:
            row = await self._around.database(
                sessions.begin_session,
                connector_id=self.number,
                permission=permission,
                meter=reading.import_energy,
                at=at,
                begin=meter_value(sample, self._around.stop_selections()),
            )
        except (DatabaseError, IntegrityError, OSError) as error:
            raise JournalUnwritableError(str(error)) from error
        self.session = RunningSession.of(row)
        self._around.outbox_filled()
        if permission.profile is not None or permission.reservation_id is not None:
            await self._around.session_written()

    async def _register_for_start(self) -> MeterReading:
        if self.reading is not None and clock.monotonic_s() - self.reading.read_at_s < REGISTER_IS_FRESH_S:
            return self.reading
        try:
            return await self.read_meter()
        except DeviceError as error:
            raise JournalUnwritableError(f"no meter value: {error}") from error

    async def read_meter(self) -> MeterReading:
        """Read the meter now; raises DeviceError. A register that went backwards is refused as noise."""
        if self.meter is None:
            raise DeviceError("this point has no meter")
        reading = await self.meter.read()
        self.reading, self.reading_at = reading, clock.now()
        return reading

    async def _end_session(self, reason: str, id_tag: str) -> None:
        session = self.session
        if session is None:
            return
        stopped_at = clock.now()
        # From here on nothing is sampled: a later sample would overtake the end on its way into the queue.
        session.ending = True
        await self._wait_for_no_current()
        register = WattHour(self.register_wh or session.meter_start_wh)
        end: MeterValue | None = None
        if self.reading is not None:
            sample = Sample(at=clock.now(), reading=self.reading, context=ReadingContext.TRANSACTION_END, offered=PAUSE)
            end = meter_value(sample, self._around.stop_selections())
        write = partial(
            sessions.end_session, session.id, reason=reason, id_tag=id_tag, at=stopped_at, meter=register, end=end
        )
        if not await self._is_written(write):
            # The session has ended in fact, and the driver shall not be held up; it is written down later.
            self._tasks.spawn(self._write_until_taken(write))

    async def _is_written(self, write: Callable[[], Any]) -> bool:
        try:
            await self._around.database(write)
        except (DatabaseError, OSError) as error:
            self._around.journal_failed(error)
            return False
        self.session = None
        self._around.outbox_filled()
        await self._around.session_written()
        return True

    async def _write_until_taken(self, write: Callable[[], Any]) -> None:
        """Try again for ever; until then the session stays, and no other can begin here."""
        while not await self._is_written(write):
            await asyncio.sleep(WRITE_AGAIN_S)
        self._around.changed(self)

    async def _wait_for_no_current(self) -> None:
        deadline = clock.monotonic_s() + CURRENT_ENDS_S
        while True:
            self.served_at_s = clock.monotonic_s()
            try:
                status = await self.controller.read_status()
                self.status = status
                reading = await self.read_meter()
            except DeviceError as error:
                log.info("point %d: no final value yet: %s", self.number, error)
                await asyncio.sleep(0.1)
            else:
                currents = [current for current in reading.currents if current is not None]
                flows = max(currents, default=0) > NO_CURRENT or status.contactor_closed is True
                if not flows and not status.enabled:
                    return
            if clock.monotonic_s() >= deadline:
                return

    # --- what is told

    def on_fault(self, witness: str, codes: frozenset[FaultCode]) -> bool:
        """Take what one witness says is wrong; answers whether that is news."""
        if self.faults.get(witness, frozenset()) == codes:
            return False
        self.faults[witness] = codes
        return True

    def resume(self, session: RunningSession, status: ControllerStatus) -> None:
        """Take a session of the database over after a restart, with the car still connected."""
        self.session = session
        wants = status.pilot in {"C", "D"}
        self.pilot = PilotFilter(connected=True, wants=wants, cable_present=bool(status.cable))
        self.actuator.locked = True
        self.actuator.adopt(status)
        phase = Phase.SUSPENDED_EVSE
        if status.enabled:
            phase = Phase.CHARGING if wants else Phase.SUSPENDED_EV
        self.state = replace(self.state, phase=phase, car=True, wants=wants, permitted=status.enabled)
        self.status = status
