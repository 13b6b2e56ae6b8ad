"""The endless tasks that poll devices. Each survives everything its device does; none delays another."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from hardware.runtime.device_events import DeviceEvents
from hardware.runtime.dimming import Dimming
from hardware.runtime.flashing import Flasher
from hardware.runtime.point import ChargingPoint
from hardware.runtime.state import LineRecord, ReaderRecord
from station import clock
from station.concurrency import until_tick_s, wait_or_timeout
from station.domain.faults import CATALOGUE, FaultCode, Scope
from station.domain.pilot import DEBOUNCE_S
from station.domain.ports import (
    DeviceFailed,
    DeviceRefused,
    PhaseValues,
    ReadingUnusable,
    Signal,
    StationIo,
    Tag,
    TagReader,
)
from station.domain.steady_faults import SteadyFaults
from station.domain.supervision import Watch

logger = logging.getLogger(__name__)

CONTROLLER_IDLE_S = 0.5
CONTROLLER_PLUGGED_S = 0.25
CONTROLLER_FASTER_S = 0.03
METER_IDLE_S = 2.0
METER_SESSION_S = 1.0
# A card is held to a reader for a second or more; asking eight times a second is noticed by nobody. The other periods
# are multiples of this one, see `until_tick_s`.
READER_S = 0.125
# While no car waits for a card: whoever holds one to the reader plugs in afterwards, or ends a session.
READER_IDLE_S = 0.25
IO_S = 1.0
# While the grid operator may dim: two readings and the debouncing in between have to fit into two seconds.
IO_FASTER_S = 0.5
# While its contact has just changed; not in step with anything that could make it bounce.
IO_DOUBT_S = 0.07
# A device is reported when it was silent for this long and at least this many polls failed in a row.
CONTROLLER_SILENT_S, METER_SILENT_S, READER_SILENT_S = 2.0, 4.0, 2.0
SILENT_POLLS = 3
# What a board reports counts when further polls, in quick succession, confirm it, and until it has been away for a
# while; the board itself has opened its contactor at once.
BOARD_FAULT_RAISED_S, FAULT_CLEARED_S = 0.2, 2.0
# Source of the fault of an input module that is silent.
INPUT_MODULE = "input module"
# A card that was away for this long and comes back is a new tap; shorter gaps come from an unsteady hand. They are only
# seen by asking often: a reader that has just seen a card is asked as often as for a car that waits.
TAP_GAP_S = 0.5
CARD_LEAVES_S = 2 * TAP_GAP_S


@dataclass(kw_only=True)
class Silence:
    """Distinguishes a device that is absent from one that missed a poll; people see both in `line`."""

    patience_s: float
    line: LineRecord
    failures: int = 0
    # Looked up when it is made: a test may have replaced the clock since this module was loaded.
    last_good_s: float = field(default_factory=lambda: clock.monotonic_s())  # noqa: PLW0108

    def heard(self) -> None:
        """Note a good answer."""
        self.failures, self.last_good_s = 0, clock.monotonic_s()
        self.line.heard_at = clock.now()

    def missed(self) -> bool:
        """Note a failed poll; return whether the device counts as absent now."""
        self.failures += 1
        self.line.errors += 1
        return self.failures >= SILENT_POLLS and clock.monotonic_s() - self.last_good_s >= self.patience_s


async def poll_controller(point: ChargingPoint, events: DeviceEvents, flasher: Flasher) -> None:
    """Read one controller for ever: pilot, lock, errors, and the station's contacts wired to it.

    While its firmware is written, a step of that takes the place of the poll.
    """
    silence = Silence(patience_s=CONTROLLER_SILENT_S, line=point.equipment.controller_line)
    board = BoardFaults(point, events)
    await _open(point.controller.open, f"controller {point.number}")
    while True:
        started_s = clock.monotonic_s()
        point.mark_served()
        try:
            if flasher.is_due(point):
                status = None
                await flasher.step(point)
            else:
                if point.equipment.controller is None:
                    point.controller_identified(await point.controller.identify())
                status = await point.controller.read_status()
        except DeviceFailed as error:
            if isinstance(error, DeviceRefused):
                logger.warning("controller %d refuses to work: %s", point.number, error)
            if silence.missed():
                point.controller_is_silent()
                if point.set_faults("silence", frozenset({FaultCode.EVSE_COMMUNICATION_ERROR})):
                    logger.warning("controller %d is silent: %s", point.number, error)
                    await events.point_faults_changed(point)
            await point.actuator.repeat_unread()
        else:
            silence.heard()
            point.controller_answered()
            news = point.set_faults("silence", frozenset())
            if status is not None:
                news |= board.judge(status.faults)
            if news:
                await events.point_faults_changed(point)
            if status is not None:
                await point.observe(status)
                events.observed(point)
        await point.check_timers(clock.monotonic_s())
        await _pause(point, started_s)


class BoardFaults:
    """What a controller reports to be wrong at its point, or with the station, without its bouncing."""

    def __init__(self, point: ChargingPoint, events: DeviceEvents) -> None:
        self._point = point
        self._events = events
        self._steady = SteadyFaults[FaultCode](raised_after_s=BOARD_FAULT_RAISED_S, cleared_after_s=FAULT_CLEARED_S)

    def judge(self, reported: frozenset[FaultCode]) -> bool:
        """Take a poll; return whether something is new at the point."""
        point = self._point
        self._steady = self._steady.judge(reported, at_s=clock.monotonic_s())
        counting = self._steady.counting
        if reported - counting:
            point.poll_faster(BOARD_FAULT_RAISED_S)
        of_station = frozenset(code for code in counting if CATALOGUE[code].scope is Scope.STATION)
        self._events.station_faults(f"controller {point.number}", of_station)
        return point.set_faults("controller", counting - of_station)


async def _pause(point: ChargingPoint, started_s: float) -> None:
    now_s = clock.monotonic_s()
    point.poll_now.clear()
    if now_s < point.polls_faster_until_s:
        remaining = CONTROLLER_FASTER_S - (now_s - started_s)
    else:
        is_idle = not (point.pilot.connected or point.state.has_session)
        remaining = until_tick_s(CONTROLLER_IDLE_S if is_idle else CONTROLLER_PLUGGED_S, now_s)
    if point.pilot.doubt is not None:
        # The deciding poll is due exactly when the pilot has been debounced, not a poll later.
        remaining = point.pilot.doubt_since_s + DEBOUNCE_S - now_s
    if remaining <= 0:
        await asyncio.sleep(0)
        return
    await wait_or_timeout(point.poll_now, remaining)


async def poll_meter(point: ChargingPoint, events: DeviceEvents) -> None:
    """Read one meter for ever, judge its values, and keep its identity."""
    if point.meter is None:
        return
    silence = Silence(patience_s=METER_SILENT_S, line=point.equipment.meter_line)
    watch = CurrentWatch(point, events)
    await _open(point.meter.open, f"meter {point.number}")
    while True:
        period = METER_SESSION_S if point.state.has_session else METER_IDLE_S
        phases: PhaseValues | None = None
        try:
            if not point.equipment.meter_ok:
                # After a silence it may be another meter, whose registers mean nothing to a running session.
                point.meter_identified(await point.meter.identify())
            phases = await point.read_meter()
        except DeviceFailed as error:
            period = min(period, 0.5)
            if isinstance(error, ReadingUnusable):
                # A register may be wrong and the current beside it true: it is watched in any case.
                phases = error.phases
            if silence.missed():
                point.meter_is_silent()
                if point.set_faults("meter", frozenset({FaultCode.POWER_METER_FAILURE})):
                    logger.warning("meter %d is silent: %s", point.number, error)
                    await events.point_faults_changed(point)
        else:
            silence.heard()
            point.meter_answered()
            if point.set_faults("meter", frozenset()):
                await events.point_faults_changed(point)
            await events.measured(point)
        if phases is not None:
            await watch.judge(phases)
        if watch.suspects:
            period = min(period, 0.5)
        await asyncio.sleep(until_tick_s(period, clock.monotonic_s()))


class CurrentWatch:
    """What the values of a meter say about the wiring of its point."""

    def __init__(self, point: ChargingPoint, events: DeviceEvents) -> None:
        self._point = point
        self._events = events
        self._watch = Watch()
        # The watch has proven what it tells; a value at its threshold comes and goes all the same.
        self._steady = SteadyFaults[FaultCode](raised_after_s=0.0, cleared_after_s=FAULT_CLEARED_S)

    @property
    def suspects(self) -> bool:
        """Whether something looks wrong that is not proven yet, so that the next values are wanted soon."""
        return bool(self._watch.since)

    async def judge(self, phases: PhaseValues) -> None:
        """Take one reading."""
        point, actuator, now_s = self._point, self._point.actuator, clock.monotonic_s()
        # Until a restart has been recovered from, a car goes on charging that nobody has allowed anything yet; and a
        # board that does not hear that energy is withdrawn is silent, which is a fault of its own, and not welded.
        allowed = actuator.enabled or not point.in_control or not point.equipment.controller_ok
        self._watch, proven = self._watch.judge(phases, energy_allowed=allowed, limit=actuator.limit, at_s=now_s)
        self._steady = self._steady.judge(proven, at_s=now_s)
        counting = self._steady.counting
        self._events.station_faults(f"meter {point.number}", counting & {FaultCode.UNDER_VOLTAGE})
        if point.set_faults("values", counting - {FaultCode.UNDER_VOLTAGE}):
            await self._events.point_faults_changed(point)


class ReaderPoll:
    """Polls one card reader: one action per tap, and whether it works."""

    def __init__(
        self, reader: TagReader, record: ReaderRecord, events: DeviceEvents, *, points: Collection[ChargingPoint]
    ) -> None:
        self._reader = reader
        self._record = record
        self._connector_id = record.connector_id
        self._points = points
        self._events = events
        self._last_seen: dict[str, float] = {}

    async def run(self) -> None:
        """Poll for ever."""
        silence = Silence(patience_s=READER_SILENT_S, line=self._record.line)
        await _open(self._reader.open, "reader")
        while True:
            try:
                tags = await self._reader.poll()
            except DeviceFailed as error:
                if silence.missed() and self._record.ok:
                    self._record.ok = False
                    logger.warning("the card reader is silent: %s", error)
                    self._events.reader_changed(self._connector_id, is_healthy=False)
                await asyncio.sleep(0.25)
            else:
                silence.heard()
                if not self._record.ok:
                    self._record.ok = True
                    self._events.reader_changed(self._connector_id, is_healthy=True)
                for tag in tags:
                    self._see(tag)
            now_s = clock.monotonic_s()
            await asyncio.sleep(until_tick_s(self.period_s(now_s), now_s))

    def period_s(self, now_s: float) -> float:
        """Return how often the reader is asked now."""
        has_card = any(now_s - seen_s < CARD_LEAVES_S for seen_s in self._last_seen.values())
        if has_card or any(point.waits_for_card for point in self._points):
            return READER_S
        return READER_IDLE_S

    def _see(self, tag: Tag) -> None:
        uid = tag.uid
        now_s = clock.monotonic_s()
        last_s = self._last_seen.get(uid)
        self._last_seen = {each: seen for each, seen in self._last_seen.items() if now_s - seen < TAP_GAP_S}
        self._last_seen[uid] = now_s
        if last_s is None or now_s - last_s >= TAP_GAP_S:
            self._events.tapped(tag, self._connector_id, self._reader)


async def poll_io(io: StationIo, events: DeviceEvents, dimming: Dimming) -> None:
    """Read the auxiliary contacts for ever; one that is silent keeps its last reading."""
    has_signal = Signal.DIMMING in io.signals
    silence = Silence(patience_s=CONTROLLER_SILENT_S, line=LineRecord())
    reported = False
    await _open(io.open, "input module")
    while True:
        try:
            inputs = await io.read()
        except DeviceFailed as error:
            if silence.missed() and not reported:
                reported = True
                events.station_faults(INPUT_MODULE, frozenset({FaultCode.INPUT_MODULE_FAILURE}))
                logger.warning("the input module is silent: %s", error)
        else:
            silence.heard()
            reported = False
            events.station_faults(INPUT_MODULE, frozenset())
            await events.inputs(inputs)
        if has_signal and dimming.reads_again_soon:
            await asyncio.sleep(IO_DOUBT_S)
            continue
        period_s = IO_FASTER_S if has_signal and dimming.enabled else IO_S
        await asyncio.sleep(until_tick_s(period_s, clock.monotonic_s()))


async def _open(opening: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await opening()
    except DeviceFailed as error:
        logger.warning("%s: %s", name, error)
