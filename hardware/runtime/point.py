"""One charging point: its devices, its machine stepped, the machine's effects carried out in order."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Protocol

from hardware.runtime.actuator import Actuator
from hardware.runtime.parameters import Parameters
from hardware.runtime.point_meter import PointMeter
from hardware.runtime.records import MeterUnreadable, RecordStore, RecordUnwritable
from hardware.runtime.session import RunningSession
from hardware.runtime.session_end import NO_CURRENT, SessionEnding, Stop
from hardware.runtime.session_records import SessionEnd, SessionRecords
from hardware.runtime.signed_metering import MeterDoesNotSign, Signing
from hardware.runtime.signed_values import SignedValue
from hardware.runtime.state import LineRecord, infos_by_code
from station import clock
from station.concurrency import BackgroundTasks, wait_or_timeout
from station.domain import connector as machine
from station.domain.commands import Refusal
from station.domain.connector import (
    BeginSession,
    CancelTimer,
    DisableCharging,
    Effect,
    EnableCharging,
    EndSession,
    Event,
    IllegalTransition,
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
from station.domain.flashing import FlashOrder
from station.domain.limits import EffectiveLimit
from station.domain.pilot import CONNECTED, PilotFilter
from station.domain.ports import (
    ControllerIdentity,
    ControllerStatus,
    DeviceFailed,
    EvseController,
    Meter,
    MeterIdentity,
    MeterReading,
    Pilot,
)
from station.domain.signed_identification import signed_end
from station.domain.snapshot import FinishedSessionSnapshot
from station.domain.units import MINIMUM_CURRENT, MilliAmpere
from station.services import connectors, event_log
from station.services.connectors import Availability

logger = logging.getLogger(__name__)

# How long a car may take to ask for energy before a session counts as suspended by the car; the standard gives it 3 s
# to close S2 plus the time to wake up.
REACTION_S = 3.0
POLL_FASTER_S = 3.0
# Whoever stopped a session is told so when that is written down. A database that hangs must not hold up the watch over
# the car, so this is how long the point waits for it.
STOP_IS_RECORDED_S = 2.0
# While a calibrated meter signs the begin, the board is looked at so often.
LOOK_WHILE_SIGNING_S = 0.25


class Limits(Protocol):
    """Knows the limits of all charging points."""

    def limit_of(self, number: int) -> EffectiveLimit:
        """Compute this point's limit anew, with its session counted in."""


class PointChanges(Protocol):
    """Receives changes."""

    def point_changed(self, number: int) -> None:
        """Take note that phase, session, limit, availability or faults of a charging point have changed."""


@dataclass(kw_only=True)
class Equipment:
    """What is known of the devices of a point; changed by the point's own methods."""

    controller: ControllerIdentity | None = None
    meter: MeterIdentity | None = None
    controller_ok: bool = False
    meter_ok: bool = False
    is_news: bool = False
    controller_line: LineRecord = field(default_factory=LineRecord)
    meter_line: LineRecord = field(default_factory=LineRecord)


class ChargingPoint:
    """The live half of a connector; its durable half is in the database.

    Events are handled one after the other; if the session record cannot be written, the session is turned back before
    energy is released. Attributes are for reading: what changes a point is a method of it.
    """

    def __init__(
        self,
        number: int,
        *,
        controller: EvseController,
        meter: Meter | None,
        has_lock: bool,
        rating: MilliAmpere,
        connected_phases: int,
        records: RecordStore,
        parameters: Parameters,
        session_records: SessionRecords,
        limits: Limits,
        changes: PointChanges,
    ) -> None:
        self.number = number
        self.controller = controller
        self._meter = PointMeter(meter, rating=rating)
        self.connected_phases = connected_phases
        self.actuator = Actuator(controller, has_lock=has_lock)
        self.equipment = Equipment()
        self.state = State(permitted=True)
        self.phase_since = clock.now()
        self.pilot = PilotFilter()
        self.status: ControllerStatus | None = None
        self.aligned_wh: int | None = None
        self.session: RunningSession | None = None
        self.last_session: FinishedSessionSnapshot | None = None
        self.effective: EffectiveLimit | None = None
        self.operative = True
        self.scheduled_operative: bool | None = None
        self._is_to_be_reserved = False
        # Out of service for a software update, without touching what the operator has set.
        self.update_pending = False
        # Out of service while the firmware of the controller is written.
        self.flash_order: FlashOrder | None = None
        self.kept_locked_for: str | None = None
        self.finishing_info = ""
        self.waits_until: datetime | None = None
        # When the controller was last asked, whether it answered or not.
        self.served_at_s = clock.monotonic_s()
        self.polls_faster_until_s = 0.0
        self.poll_now = asyncio.Event()
        self._faults: dict[str, frozenset[FaultCode]] = {}
        self._infos: dict[str, str] = {}
        # False while a restart is being recovered from: the board goes on as it was left, and nothing is concluded.
        self._in_control = False
        self._button_was_pressed = False
        self._may_stand_served = False
        self._deadlines: dict[Timer, float] = {}
        self._records = records
        self._parameters = parameters
        self._session_records = session_records
        self._limits = limits
        self._changes = changes
        self._ending = SessionEnding(self, session_records)
        self._signing: Signing | None = None
        self._is_beginning = False
        # Why the last start was turned back, after the card was accepted.
        self.turned_back: Refusal | None = None
        self._session_is_over = asyncio.Event()
        self._lock = asyncio.Lock()
        self._tasks = BackgroundTasks(logger)

    # --- what others ask

    @property
    def active_faults(self) -> frozenset[FaultCode]:
        """All faults of this point, from whichever source."""
        return frozenset[FaultCode]().union(*self._faults.values())

    @property
    def fault_infos(self) -> Mapping[FaultCode, str]:
        """What sources have said of their faults beyond the catalogue's words."""
        return infos_by_code(self._faults, self._infos)

    @property
    def blocked(self) -> bool:
        """Whether a fault puts the point out of order."""
        return any(CATALOGUE[code].faulted for code in self.active_faults)

    @property
    def overlay(self) -> Overlay:
        """What the backend sees over the phase."""
        operative = self.operative and not self.update_pending and self.flash_order is None
        return Overlay(faulted=self.blocked, operative=operative, reserved=self.state.reserved)

    @property
    def ocpp_status(self) -> str:
        """The ChargePointStatus now."""
        return machine.status_of(self.state.told_phase, self.overlay)

    @property
    def busy(self) -> bool:
        """Whether somebody uses this point already."""
        return self.state.has_session or self.session is not None or self.state.phase is Phase.AUTHORIZED

    @property
    def in_control(self) -> bool:
        """Whether the past is settled, so that what is seen means something."""
        return self._in_control

    @property
    def has_meter(self) -> bool:
        """Whether energy can be measured here."""
        return self._meter.device is not None

    @property
    def meter(self) -> Meter | None:
        """The meter; None: nothing is measured here."""
        return self._meter.device

    @property
    def reading(self) -> MeterReading | None:
        """The newest plausible reading."""
        return self._meter.reading

    @property
    def reading_at(self) -> datetime | None:
        """When it was read."""
        return self._meter.reading_at

    @property
    def has_undecided_plug(self) -> bool:
        """Whether the board shows a car that has not been seen for long enough to be believed."""
        return self.status is not None and self.status.pilot in CONNECTED and not self.pilot.connected

    @property
    def waits_for_card(self) -> bool:
        """Whether a car is plugged in that nobody has paid for yet."""
        return self.state.phase in {Phase.PLUGGED, Phase.RESERVED}

    @property
    def meter_serial(self) -> str:
        """The serial number of the meter, as far as it is known."""
        return self.equipment.meter.serial if self.equipment.meter else ""

    @property
    def meter_identity(self) -> MeterIdentity | None:
        """What the meter has said about itself."""
        return self.equipment.meter

    @property
    def register_wh(self) -> int | None:
        """The newest energy register."""
        return self.reading.import_energy if self.reading else None

    @property
    def flowing(self) -> MilliAmpere:
        """The current of the phase that carries most, by the last word of a meter that was heard lately."""
        return self._meter.flowing

    @property
    def availability(self) -> Availability:
        """Whether the point is in service, as it is written down."""
        return Availability(number=self.number, operative=self.operative, scheduled_operative=self.scheduled_operative)

    # --- what others change

    def poll_faster(self, seconds: float = POLL_FASTER_S) -> None:
        """Poll quickly for a while, because something is about to change."""
        self.polls_faster_until_s = max(self.polls_faster_until_s, clock.monotonic_s() + seconds)
        self.poll_now.set()

    def set_signing(self, signing: Signing) -> None:
        """From now on sessions here begin and end with what the calibrated meter signs."""
        self._signing = signing

    async def settle_signing(self) -> None:
        """Settle what the calibrated meter has left open, and look again at one that has signed wrongly."""
        if self._signing is None:
            return
        if not self._signing.is_settled:
            await self._signing.settle()
        else:
            await self._signing.reconsider()

    def set_faults(self, source: str, codes: frozenset[FaultCode], *, info: str = "") -> bool:
        """Take what one source reports to be wrong; return whether that is news. `info`: as for the whole station."""
        if self._faults.get(source, frozenset()) == codes:
            return False
        self._faults[source] = codes
        self._infos[source] = info
        return True

    def set_reserved(self, *, reserved: bool) -> None:
        """Keep the point for somebody, or for nobody any more; soon, because a session may be ending."""
        if self._is_to_be_reserved != reserved:
            self._is_to_be_reserved = reserved
            self.post(machine.PointReserved() if reserved else machine.ReservationEnded())

    def set_update_pending(self, *, pending: bool) -> None:
        """Keep the point out of service for a software update, or end that."""
        self.update_pending = pending
        self.tell_changed()

    def set_flash_order(self, order: FlashOrder | None) -> None:
        """Take how far the firmware of the controller is written; None: nobody wants it written (any more)."""
        if self.flash_order != order:
            self.flash_order = order
            self.tell_changed()

    def keep_locked_for(self, id_tag: str) -> None:
        """Keep the plug locked after the end of the session until this card is presented."""
        self.kept_locked_for = id_tag

    async def unlock(self) -> None:
        """Release the plug, whoever it was kept for; one under load is released when the current has ended."""
        self.kept_locked_for = None
        if self.state.has_session:
            self.state = replace(self.state, keep_locked=False)
            return
        await self.actuator.unlock()

    def take_button_press(self) -> bool:
        """Tell once for each press of the stop button."""
        pressed = bool(self.status and self.status.button_pressed)
        is_new = pressed and not self._button_was_pressed
        self._button_was_pressed = pressed
        return is_new

    def tell_changed(self) -> None:
        """Tell whoever depends on phase, session, limit, availability or faults of this point."""
        self._changes.point_changed(self.number)

    # --- its devices

    def controller_identified(self, identity: ControllerIdentity) -> None:
        """Note which controller the point has."""
        self.equipment.controller, self.equipment.is_news = identity, True

    def controller_answered(self) -> None:
        """Note that the controller is there."""
        self.equipment.controller_ok = True

    def controller_is_silent(self) -> None:
        """Note that the controller does not answer."""
        self.equipment.controller_ok = False

    def meter_identified(self, identity: MeterIdentity) -> None:
        """Note which meter the point has."""
        self.equipment.meter, self.equipment.is_news = identity, True

    def meter_answered(self) -> None:
        """Note that the meter is there."""
        self.equipment.meter_ok = True

    def meter_is_silent(self) -> None:
        """Note that the meter does not answer."""
        self.equipment.meter_ok = False

    def take_equipment_news(self) -> bool:
        """Tell once that other devices than before have been found."""
        is_news, self.equipment.is_news = self.equipment.is_news, False
        return is_news

    # --- service

    def load_availability(self, stored: Availability) -> None:
        """Take over what was written down."""
        self.operative, self.scheduled_operative = stored.operative, stored.scheduled_operative
        self.actuator.available = stored.operative

    def schedule_availability(self, *, operative: bool) -> bool:
        """Go in or out of service, now or when the session has ended; return whether it waits for that."""
        if self.state.has_session and self.operative != operative:
            self.scheduled_operative = operative
            return True
        self.operative, self.scheduled_operative = operative, None
        return False

    def settle_availability(self) -> bool:
        """Take over the availability that waited for the end of a session; return whether there was one."""
        if self.state.has_session or self.scheduled_operative is None:
            return False
        self.operative, self.scheduled_operative = self.scheduled_operative, None
        self.actuator.available = self.operative
        return True

    def take_aligned_register(self, register_wh: int | None) -> None:
        """Take the register of the last clock-aligned sample: the next one tells what flowed since."""
        self.aligned_wh = register_wh

    def load_last_session(self, stored: FinishedSessionSnapshot | None) -> None:
        """Take over which session ended here last."""
        self.last_session = stored

    # --- what happens

    def post(self, event: Event) -> None:
        """Handle an event soon, without waiting for it."""
        self._tasks.spawn(self.handle(event))

    async def handle(self, event: Event) -> bool:
        """Step the machine and carry out what it asks; return whether the event had a meaning here."""
        async with self._lock:
            return await self._handle(event)

    async def _handle(self, event: Event) -> bool:
        try:
            state, effects = machine.step(self.state, event)
        except IllegalTransition as error:
            logger.debug("point %d: no meaning for %s", self.number, error)
            return False
        before, self.state = self.state, state
        if before.phase is not state.phase:
            self.phase_since = clock.now()
            self.poll_faster()
            if state.phase not in {Phase.ENDING, Phase.FINISHING}:
                self.finishing_info = ""
        if isinstance(event, machine.PlugRemoved) and before.phase in machine.SESSION_PHASES:
            self.finishing_info = "EV side disconnected"
        try:
            for effect in effects:
                await self._perform(effect)
        except RecordUnwritable as error:
            self._records.report_failure(error)
            self.turned_back = Refusal.RECORDS_UNWRITABLE
            await self._handle(RecordFailed())
        except MeterDoesNotSign as error:
            logger.warning("point %d: no session without a signed begin: %s", self.number, error)
            self.turned_back = Refusal.METER_DOES_NOT_SIGN
            await self._handle(RecordFailed())
        except MeterUnreadable as error:
            # The trouble of one meter concerns its point alone.
            logger.warning("point %d: no session without a meter: %s", self.number, error)
            self.set_faults("meter", frozenset({FaultCode.POWER_METER_FAILURE}))
            self.turned_back = Refusal.METER_UNREADABLE
            await self._handle(RecordFailed())
        if self.settle_availability():
            await self._records.attempt(connectors.store_availability, [self.availability])
            await self.actuator.set_available(self.operative)
        self.tell_changed()
        return True

    def take_control(self) -> bool:
        """Begin to control: from here on events count. Return whether availability had waited for the recovery."""
        self._in_control = True
        return self.settle_availability()

    def remember_served_car(self) -> None:
        """A car that is found here has had its session before a restart, and gets no other one."""
        self._may_stand_served = True

    async def observe(self, status: ControllerStatus) -> None:
        """Take one poll of the controller."""
        self.status = status
        if not self._in_control:
            self.actuator.learn(status)
            return
        if self._may_stand_served:
            self._find_served_car(status)
        self.pilot, events = self.pilot.observe(status.pilot, status.cable, at_s=status.read_at_s)
        if self.pilot.doubt is not None:
            self.poll_faster(0.3)
        for event in events:
            await self.handle(event)
        await self.actuator.reconcile(status, current_flows=self.flowing > NO_CURRENT)

    def _find_served_car(self, status: ControllerStatus) -> None:
        self._may_stand_served = status.pilot not in {*CONNECTED, Pilot.A}
        if status.pilot in CONNECTED and self.state.phase is Phase.AVAILABLE:
            self.pilot = PilotFilter(connected=True, wants=False, cable_present=bool(status.cable))
            self.state = replace(self.state, phase=Phase.FINISHING, car=True)
            self.tell_changed()

    async def check_timers(self, now_s: float) -> None:
        """Fire what is due."""
        due = [timer for timer, deadline in self._deadlines.items() if deadline <= now_s]
        for timer in due:
            self._cancel_timer(timer)
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
            if self._is_beginning:
                # A meter that signs takes its time; the limits of the other points do not wait for it.
                self.post(event)
            elif self.state.has_session:
                await self.handle(event)
            else:
                # Without a session it is only remembered; waiting for a session that ends slowly would hold up the
                # limits of the other points.
                self.state, _ = machine.step(self.state, event)
                self.tell_changed()
        elif changed:
            self.tell_changed()

    def resume(self, session: RunningSession, status: ControllerStatus | None) -> None:
        """Take a session of the database over after a restart, with the car still connected.

        `status` None: the board does not answer, and the meter shows the car. Energy is withdrawn there for as long as
        that lasts, as it is at a board that falls silent in a session.
        """
        self.session = session
        self._meter.compare_with_record(session)
        self._session_is_over.clear()
        if status is None:
            self.pilot = PilotFilter(connected=True, wants=True, cable_present=True)
            self.actuator.locked = True
            self.actuator.believe_released()
            self.state = replace(self.state, phase=Phase.SUSPENDED_EVSE, car=True, wants=True, permitted=False)
            return
        wants = status.pilot in {"C", "D"}
        self.pilot = PilotFilter(connected=True, wants=wants, cable_present=bool(status.cable))
        self.actuator.locked = True
        self.actuator.adopt(status)
        phase = Phase.SUSPENDED_EVSE
        if status.enabled:
            phase = Phase.CHARGING if wants else Phase.SUSPENDED_EV
        self.state = replace(self.state, phase=phase, car=True, wants=wants, permitted=status.enabled)
        self.status = status

    def resume_ending(self, session: RunningSession, stop: Stop, status: ControllerStatus | None) -> None:
        """Go on bringing a session to its end that was stopped, or cannot go on, before a restart."""
        self.session = session
        self._meter.compare_with_record(session)
        # A board that does not answer yet is believed to hold the car of before; its first answer tells otherwise.
        connected = status is None or status.pilot in {Pilot.B, Pilot.C, Pilot.D}
        cable = status is None or bool(status.cable)
        self.pilot = PilotFilter(connected=connected, wants=False, cable_present=cable)
        self.actuator.locked = connected
        if status is None:
            self.actuator.believe_released()
        self.state = replace(
            self.state,
            phase=Phase.ENDING,
            ending_from=Phase.SUSPENDED_EVSE,
            car=connected,
            freed=not connected and not cable,
        )
        self._session_is_over.clear()
        self._ending.begin(session, stop)

    async def until_session_is_over(self, patience_s: float) -> bool:
        """Wait until no session runs or ends here any more; return whether that came in time."""
        return self.session is None or await wait_or_timeout(self._session_is_over, patience_s)

    def session_ended(self, end: SessionEnd) -> None:
        """Forget the session: its end is written."""
        self.session = None
        self._session_is_over.set()
        self.last_session = FinishedSessionSnapshot(
            id=end.session.id,
            id_tag=end.session.id_tag,
            started_at=end.session.started_at,
            ended_at=end.at.at,
            energy_wh=max(end.register - end.session.meter_start_wh, 0),
            reason=end.reason,
        )

    async def current_ended(self) -> None:
        """Let the plug go: nothing flows any more."""
        # In one hold of the lock: a car that comes in between must not be taken for the one that has left.
        async with self._lock:
            if not await self._handle(machine.CurrentEnded()):
                self.tell_changed()
            if self.state.freed:
                # The cable left the socket while the session ended.
                await self._handle(machine.SocketFreed())

    # --- what is done

    async def _perform(self, effect: Effect) -> None:
        match effect:
            case StartTimer(timer=timer):
                self._start_timer(timer)
            case CancelTimer(timer=timer):
                self._cancel_timer(timer)
            case BeginSession(permission=permission):
                await self._begin_session(permission)
            case EndSession(reason=reason, id_tag=id_tag):
                await self._end_session(Stop(reason=reason, id_tag=id_tag, at=clock.stamp()))
            case EnableCharging():
                await self._enable()
            case DisableCharging():
                await self.actuator.disable()
            case LockPlug():
                # From here on the plug is held for this session; an earlier driver's card must not open it.
                self.kept_locked_for = None
                await self.actuator.lock()
            case UnlockPlug():
                await self.unlock()
            case _:
                raise TypeError(effect)

    def _start_timer(self, timer: Timer) -> None:
        seconds = REACTION_S if timer is Timer.REACTION else self._parameters.connection_timeout_s
        if seconds > 0:
            self._deadlines[timer] = clock.monotonic_s() + seconds
            if timer is Timer.CONNECTION:
                self.waits_until = clock.now() + timedelta(seconds=seconds)

    def _cancel_timer(self, timer: Timer) -> None:
        self._deadlines.pop(timer, None)
        if timer is Timer.CONNECTION:
            self.waits_until = None

    async def _enable(self) -> None:
        effective = self._limits.limit_of(self.number)
        self.effective = effective
        if effective.limit < MINIMUM_CURRENT:
            self.post(machine.EnergyForbidden())
            return
        await self.actuator.set_limit(effective.limit)
        await self.actuator.enable()
        self.poll_faster()

    async def _begin_session(self, permission: Permission) -> None:
        self.turned_back = None
        signed = await self._signed_begin(permission)
        try:
            reading = await self._meter.read_for_start(serial=self.meter_serial)
            if signed is not None and signed.register is not None:
                reading = replace(reading, import_energy=signed.register)
            self.session = await self._session_records.begin(
                self.number, permission, reading, meter_serial=self.meter_serial, signed=signed
            )
        except (RecordUnwritable, MeterUnreadable):
            if signed is not None and self._signing is not None:
                # Beside the point: the next start waits for it.
                self._tasks.spawn(self._signing.abandon())
            raise
        self._session_is_over.clear()
        self._meter.begin_with(reading, serial=self.meter_serial)
        if permission.profile is not None or self.session.reservation_id is not None:
            await self._session_records.reload_dependents()

    async def _signed_begin(self, permission: Permission) -> SignedValue | None:
        """Let the meter sign the begin; raises MeterDoesNotSign. The board is looked at all the while."""
        if self._signing is None:
            return None
        self._is_beginning = True
        signing = asyncio.create_task(self._signing.begin(permission))
        try:
            while not signing.done():
                await asyncio.wait({signing}, timeout=LOOK_WHILE_SIGNING_S)
                with suppress(DeviceFailed):
                    await self.read_controller()
            return signing.result()
        finally:
            self._is_beginning = False
            signing.cancel()

    async def signed_end(self, session: RunningSession, stop: Stop) -> SignedValue | None:
        """Let the meter sign the end; None where it does not sign, or does not answer in its time."""
        if session.signed_begin is None:
            return None
        # It may take half a minute; nothing flows any more, and whoever looks shall see that the session is over.
        await self.handle(machine.SigningBegan())
        signed = None
        if self._signing is not None:
            signed = await self._signing.end(session.signed_begin, signed_end(stop.reason), stop.facts)
        if signed is None:
            # Nothing is put in its place. What the meter signs later on is archived with the session.
            logger.error("session %d ends without a signed value", session.id)
            await self._records.attempt(
                event_log.log,
                "signing.end_missing",
                at=clock.now(),
                connector_id=self.number,
                session_id=session.id,
            )
        return signed

    async def _end_session(self, stop: Stop) -> None:
        session = self.session
        if session is None:
            # The session record was lost to somebody else's hand; there is nothing to bring to an end.
            self.post(machine.CurrentEnded())
            return
        recording = self._tasks.spawn(
            self._session_records.request_stop(session, reason=stop.reason, id_tag=stop.id_tag, at=stop.at)
        )
        self._ending.begin(session, stop)
        await asyncio.wait({recording}, timeout=STOP_IS_RECORDED_S)

    def mark_served(self) -> None:
        """Note that the controller is being asked."""
        self.served_at_s = clock.monotonic_s()

    async def read_controller(self) -> ControllerStatus:
        """Read the controller now; raises DeviceFailed."""
        self.mark_served()
        self.status = await self.controller.read_status()
        return self.status

    async def read_meter(self) -> MeterReading:
        """Read the meter now; raises DeviceFailed, also for a register that cannot be true."""
        return await self._meter.read(serial=self.meter_serial, has_session=self.session is not None)
