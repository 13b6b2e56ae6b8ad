"""The endless tasks that listen to devices. Each survives everything its device does; none delays another."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from hardware.runtime.point import ChargingPoint
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.faults import CATALOGUE, FaultCode, Scope
from station.domain.pilot import DEBOUNCE_S
from station.domain.ports import DeviceError, DeviceRefusedError, ReaderSignal, StationInputs, StationIo, TagReader
from station.domain.supervision import Watch

log = logging.getLogger(__name__)

CONTROLLER_IDLE_S = 0.5
CONTROLLER_PLUGGED_S = 0.25
CONTROLLER_HURRY_S = 0.03
METER_IDLE_S = 2.0
METER_SESSION_S = 1.0
# A card is held to a reader for a second or more; asking eight times a second is noticed by nobody.
READER_S = 0.12
IO_S = 0.5
# A device is reported when it was silent for this long and at least this many polls failed in a row.
CONTROLLER_SILENT_S, METER_SILENT_S, READER_SILENT_S = 2.0, 4.0, 2.0
SILENT_POLLS = 3
# A card that was away for this long and comes back is a new tap; shorter gaps are a trembling hand.
TAP_GAP_S = 0.5


@dataclass(kw_only=True)
class Silence:
    """Tells a device that stays away from one that hiccuped."""

    patience_s: float
    failures: int = 0
    last_good_s: float = field(default_factory=clock.monotonic_s)

    def heard(self) -> None:
        """Note a good answer."""
        self.failures, self.last_good_s = 0, clock.monotonic_s()

    def missed(self) -> bool:
        """Note a failed poll; answers whether the device counts as absent now."""
        self.failures += 1
        return self.failures >= SILENT_POLLS and clock.monotonic_s() - self.last_good_s >= self.patience_s


async def poll_controller(
    point: ChargingPoint,
    *,
    observed: Callable[[ChargingPoint], Awaitable[None]],
    faults_changed: Callable[[ChargingPoint], Awaitable[None]],
    station_fault: Callable[[str, frozenset[FaultCode]], Awaitable[None]],
) -> None:
    """Read one controller for ever: pilot, lock, errors, and the station's contacts wired to it."""
    silence = Silence(patience_s=CONTROLLER_SILENT_S)
    await _open(point.controller.open, f"controller {point.number}")
    while True:
        started_s = point.served_at_s = clock.monotonic_s()
        try:
            if point.equipment.controller is None:
                point.equipment.controller = await point.controller.identify()
                point.equipment.is_news = True
            status = await point.controller.read_status()
        except DeviceError as error:
            if isinstance(error, DeviceRefusedError):
                log.warning("controller %d refuses to work: %s", point.number, error)
            if silence.missed():
                point.equipment.controller_ok = False
                if point.on_fault("silence", frozenset({FaultCode.EVSE_COMMUNICATION_ERROR})):
                    log.warning("controller %d is silent: %s", point.number, error)
                    await faults_changed(point)
        else:
            silence.heard()
            point.equipment.controller_ok = True
            news = point.on_fault("silence", frozenset())
            of_station = frozenset(code for code in status.faults if CATALOGUE[code].scope is Scope.STATION)
            await station_fault(f"controller {point.number}", of_station)
            news |= point.on_fault("controller", status.faults - of_station)
            if news:
                await faults_changed(point)
            await point.observe(status)
            await observed(point)
        await point.check_timers(clock.monotonic_s())
        await _pause(point, started_s)


async def _pause(point: ChargingPoint, started_s: float) -> None:
    now_s = clock.monotonic_s()
    period = CONTROLLER_PLUGGED_S if point.pilot.connected or point.state.has_session else CONTROLLER_IDLE_S
    if now_s < point.hurry_until_s:
        period = CONTROLLER_HURRY_S
    point.kick.clear()
    remaining = period - (now_s - started_s)
    if point.pilot.doubt is not None:
        # The look that settles a doubt is due exactly when the pilot has been debounced, not a poll later.
        remaining = point.pilot.doubt_since_s + DEBOUNCE_S - now_s
    if remaining <= 0:
        await asyncio.sleep(0)
        return
    await wait_or_timeout(point.kick, remaining)


async def poll_meter(
    point: ChargingPoint,
    *,
    measured: Callable[[ChargingPoint], Awaitable[None]],
    faults_changed: Callable[[ChargingPoint], Awaitable[None]],
    station_fault: Callable[[str, frozenset[FaultCode]], Awaitable[None]],
) -> None:
    """Read one meter for ever, judge its values, and keep its identity."""
    if point.meter is None:
        return
    silence = Silence(patience_s=METER_SILENT_S)
    watch = Watch()
    await _open(point.meter.open, f"meter {point.number}")
    while True:
        period = METER_SESSION_S if point.state.has_session else METER_IDLE_S
        started_s = clock.monotonic_s()
        try:
            if point.equipment.meter is None:
                point.equipment.meter = await point.meter.identify()
                point.equipment.is_news = True
            await point.read_meter()
        except DeviceError as error:
            period = min(period, 0.5)
            if silence.missed():
                point.equipment.meter_ok = False
                if point.on_fault("meter", frozenset({FaultCode.POWER_METER_FAILURE})):
                    log.warning("meter %d is silent: %s", point.number, error)
                    await faults_changed(point)
        else:
            if not point.equipment.meter_ok:
                # After a silence it may be another meter.
                point.equipment.meter = None
            silence.heard()
            point.equipment.meter_ok = True
            reading = point.reading
            proven: frozenset[FaultCode] = frozenset()
            if reading is not None:
                limit = point.actuator.limit
                watch, proven = watch.judge(
                    reading, energy_allowed=point.actuator.enabled, limit=limit, at_s=clock.monotonic_s()
                )
            if watch.since:
                period = min(period, 0.5)
            await station_fault(f"meter {point.number}", proven & {FaultCode.UNDER_VOLTAGE})
            if point.on_fault("meter", frozenset()) | point.on_fault("values", proven - {FaultCode.UNDER_VOLTAGE}):
                await faults_changed(point)
            await measured(point)
        await asyncio.sleep(max(period - (clock.monotonic_s() - started_s), 0))


class ReaderPoll:
    """Listens to one card reader: one action per tap, and its health."""

    def __init__(
        self,
        reader: TagReader,
        connector_id: int | None,
        *,
        tapped: Callable[[str, int | None, TagReader], None],
        unwell: Callable[[bool], Awaitable[None]],
    ) -> None:
        self.reader = reader
        self.connector_id = connector_id
        self._tapped = tapped
        self._unwell = unwell
        self._last_seen: dict[str, float] = {}
        self.healthy = True

    async def run(self) -> None:
        """Poll for ever."""
        silence = Silence(patience_s=READER_SILENT_S)
        await _open(self.reader.open, "reader")
        while True:
            try:
                tags = await self.reader.poll()
            except DeviceError as error:
                if silence.missed() and self.healthy:
                    self.healthy = False
                    log.warning("the card reader is silent: %s", error)
                    await self._unwell(True)
                await asyncio.sleep(0.25)
            else:
                silence.heard()
                if not self.healthy:
                    self.healthy = True
                    await self._unwell(False)
                for tag in tags:
                    self._see(tag.uid)
            await asyncio.sleep(READER_S)

    def _see(self, uid: str) -> None:
        now_s = clock.monotonic_s()
        last_s = self._last_seen.get(uid)
        self._last_seen = {tag: seen for tag, seen in self._last_seen.items() if now_s - seen < TAP_GAP_S}
        self._last_seen[uid] = now_s
        if last_s is None or now_s - last_s >= TAP_GAP_S:
            self._tapped(uid, self.connector_id, self.reader)


async def signal(reader: TagReader | None, what: ReaderSignal) -> None:
    """Light and beep, where there is a reader that can."""
    if reader is not None:
        with contextlib.suppress(DeviceError):
            await reader.signal(what)


async def poll_io(io: StationIo, *, heard: Callable[[StationInputs], Awaitable[None]]) -> None:
    """Read the auxiliary contacts for ever; a module that is away keeps its last word."""
    silence = Silence(patience_s=CONTROLLER_SILENT_S)
    reported = False
    await _open(io.open, "input module")
    while True:
        try:
            inputs = await io.read()
        except DeviceError as error:
            if silence.missed() and not reported:
                reported = True
                log.warning("the input module is silent: %s", error)
        else:
            silence.heard()
            reported = False
            await heard(inputs)
        await asyncio.sleep(IO_S)


async def _open(opening: Callable[[], Awaitable[None]], name: str) -> None:
    try:
        await opening()
    except DeviceError as error:
        log.warning("%s: %s", name, error)
