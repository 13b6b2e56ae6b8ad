"""The live snapshot of the hardware: taken from the present, published soon after changes and before it expires."""

import asyncio
from collections.abc import Mapping
from typing import Any

from hardware.runtime.cluster_shares import ClusterShares
from hardware.runtime.dimming import Dimming
from hardware.runtime.energy_manager import EnergyManager
from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.refusals import Refusals
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.state import StationState
from hardware.runtime.status_writer import record_of_point, record_of_station
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.faults import FaultCode
from station.domain.ports import FirmwareWriter
from station.domain.power_history import SAMPLE_EVERY_S, sample_of
from station.domain.snapshot import (
    NO_PHASES,
    ControllerSnapshot,
    FlashingSnapshot,
    HardwareSnapshot,
    MeterSnapshot,
    PointSnapshot,
    ReaderSnapshot,
    ReservationSnapshot,
    SessionSnapshot,
    WaitingCardSnapshot,
)
from station.domain.units import PAUSE
from station.services import live, power_history

# Pages redraw at most twice a second; publishing faster would only cost.
SHORTEST_GAP_S = 0.5
# The meters of all points are read in the same moment: their readings make one snapshot.
GATHER_S = 0.05
# The live part expires after live.LIFE_S seconds, so an idle station publishes well before that.
IDLE_REFRESH_S = 4.0


class SnapshotPublisher:
    """Keeps the live snapshot fresh."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        *,
        limits: LimitLoop,
        reservations: ReservationCache,
        refusals: Refusals,
        energy_manager: EnergyManager,
        dimming: Dimming,
        cluster_shares: ClusterShares,
        redis: Any,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._limits = limits
        self._reservations = reservations
        self._refusals = refusals
        self._energy_manager = energy_manager
        self._dimming = dimming
        self._cluster_shares = cluster_shares
        self._redis = redis
        self._seen: dict[int, object] = {}
        self._dirty = asyncio.Event()
        self._revision = 0
        self._next_sample_s = 0.0

    def point_changed(self, _number: int) -> None:
        """Publish soon."""
        self._dirty.set()

    def station_changed(self) -> None:
        """Publish soon."""
        self._dirty.set()

    def refresh_if_moved(self, point: ChargingPoint) -> None:
        """Publish soon when what people see of a point has moved; an idle point moves nothing."""
        status, reading = point.status, point.reading
        seen = (
            status
            and (status.pilot, status.pwm_on, status.offered, status.locked, status.contactor_closed, status.cable),
            reading and (reading.import_energy, reading.power, reading.currents),
        )
        if self._seen.get(point.number) != seen:
            self._seen[point.number] = seen
            self._dirty.set()

    async def run(self) -> None:
        """Publish for ever."""
        while True:
            self._dirty.clear()
            self._revision += 1
            taken = self.take()
            await live.publish_async(self._redis, taken)
            now_s = clock.monotonic_s()
            if now_s >= self._next_sample_s:
                self._next_sample_s = now_s + SAMPLE_EVERY_S
                await power_history.append_async(self._redis, sample_of(taken))
            await asyncio.sleep(SHORTEST_GAP_S)
            if await wait_or_timeout(self._dirty, IDLE_REFRESH_S):
                await asyncio.sleep(GATHER_S)

    @property
    def has_begun(self) -> bool:
        """Whether the present was published at least once."""
        return self._revision > 0

    # --- taking it

    def not_ready(self) -> tuple[str, ...]:
        """Return why the station cannot charge; empty: it can."""
        reasons = {
            "starting": not self._state.started,
            "records_unwritable": self._records.failed,
            "records_waiting": self._records.waiting and not self._records.failed,
            "station_faulted": self._state.blocked,
            "controllers_silent": not any(point.equipment.controller_ok for point in self._points.values()),
        }
        return tuple(reason for reason, holds in reasons.items() if holds)

    def take(self) -> HardwareSnapshot:
        """Return the present."""
        told = record_of_station(self._state, self._state.started_at)
        return HardwareSnapshot(
            revision=self._revision,
            at=clock.now(),
            not_ready=self.not_ready(),
            status=told.status,
            faults=told.faults,
            mains_ma=self._limits.framework.mains,
            reader_ok=FaultCode.READER_FAILURE not in self._state.active_faults,
            points=tuple(self._point(point) for point in self._points.values()),
            readers=tuple(
                ReaderSnapshot(connector_id=reader.connector_id, ok=reader.ok, line=reader.line.snapshot())
                for reader in self._state.readers
            ),
            seen_cards=self._state.seen_cards.newest(clock.now()),
            modbus=self._energy_manager.snapshot(),
            dimming=self._dimming.snapshot(),
            cluster=self._cluster_shares.snapshot(),
            time_is_known=self._limits.time_is_known,
        )

    def _point(self, point: ChargingPoint) -> PointSnapshot:
        status, reading = point.status, point.reading
        limit = self._limits.present.get(point.number)
        told = record_of_point(point, point.phase_since)
        return PointSnapshot(
            number=point.number,
            status=told.status,
            phase=told.phase,
            phase_since=told.phase_since,
            error_code=told.error_code,
            faults=told.faults,
            operative=point.operative,
            scheduled_operative=point.scheduled_operative,
            plugged=point.state.car,
            pilot=status.pilot.value if status else None,
            pwm=status.pwm_on if status else None,
            locked=status.locked if status else None,
            contactor=status.contactor_closed if status else None,
            cable_ma=status.cable if status else None,
            offered_ma=(status.offered if status.pwm_on else PAUSE) if status else None,
            limit_ma=limit.effective.limit if limit else None,
            limit_source=limit.effective.source.value if limit else None,
            limits={source.value: value for source, value in limit.sources.items()} if limit else {},
            energy_wh=reading.import_energy if reading else None,
            power_w=reading.power if reading else None,
            voltages_mv=reading.voltages if reading else NO_PHASES,
            currents_ma=reading.currents if reading else NO_PHASES,
            phase_powers_w=reading.phase_powers if reading else NO_PHASES,
            frequency_mhz=reading.frequency if reading else None,
            reading_at=point.reading_at,
            reading_age_ms=round((clock.monotonic_s() - reading.read_at_s) * 1000) if reading else None,
            session=_session(point),
            waiting_card=_waiting_card(point),
            reservation=self._reservation(point),
            last_session=point.last_session,
            last_refusal=self._refusals.newest.get(point.number),
            flashing=_flashing(point),
            controller=_controller(point),
            meter=_meter(point),
        )

    def _reservation(self, point: ChargingPoint) -> ReservationSnapshot | None:
        found = self._reservations.on(point.number)
        if found is None:
            return None
        return ReservationSnapshot(
            reservation_id=found.reservation_id, id_tag=found.id_tag, expires_at=found.expires_at
        )


def _flashing(point: ChargingPoint) -> FlashingSnapshot | None:
    order = point.flash_order
    return FlashingSnapshot(stage=order.stage.value, percent=order.percent) if order else None


def _session(point: ChargingPoint) -> SessionSnapshot | None:
    session = point.session
    if session is None:
        return None
    return SessionSnapshot(
        id=session.id,
        id_tag=session.id_tag,
        origin=session.origin,
        started_at=session.started_at,
        meter_start_wh=session.meter_start_wh,
        energy_wh=max((point.register_wh or 0) - session.meter_start_wh, 0),
        transaction_id=session.transaction_id,
    )


def _waiting_card(point: ChargingPoint) -> WaitingCardSnapshot | None:
    permission = point.state.permission
    if permission is None or point.session is not None:
        return None
    return WaitingCardSnapshot(id_tag=permission.id_tag, until=point.waits_until)


def _controller(point: ChargingPoint) -> ControllerSnapshot:
    identity, is_ok = point.equipment.controller, point.equipment.controller_ok
    line = point.equipment.controller_line.snapshot()
    shipped = point.controller.image.version if isinstance(point.controller, FirmwareWriter) else ""
    if identity is None:
        return ControllerSnapshot(ok=is_ok, shipped=shipped, line=line)
    return ControllerSnapshot(
        ok=is_ok,
        shipped=shipped,
        watchdog=point.controller.capabilities.watchdog,
        line=line,
        model=identity.model,
        serial=identity.serial,
        hardware_id=identity.hardware_id,
        firmware=identity.firmware,
    )


def _meter(point: ChargingPoint) -> MeterSnapshot:
    identity, is_ok = point.equipment.meter, point.equipment.meter_ok
    line = point.equipment.meter_line.snapshot()
    if identity is None:
        return MeterSnapshot(ok=is_ok, line=line)
    return MeterSnapshot(
        ok=is_ok,
        line=line,
        vendor=identity.vendor,
        model=identity.model,
        serial=identity.serial,
        firmware=identity.firmware,
        public_key=identity.public_key,
    )
