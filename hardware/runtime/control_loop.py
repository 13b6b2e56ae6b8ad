"""The control loop: all charging points of a station, their devices, and what binds them together."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from django.db import DatabaseError
from redis.exceptions import RedisError

from hardware.runtime.admission import Admission
from hardware.runtime.authorizer import Authorizer
from hardware.runtime.command_handlers.charging import CommandHandlers
from hardware.runtime.database import DatabaseThread
from hardware.runtime.lamp import Lamps, pattern_of
from hardware.runtime.limits import LimitBook, read_framework
from hardware.runtime.periodic import Periodic
from hardware.runtime.point import ChargingPoint
from hardware.runtime.pollers import ReaderPoll, poll_controller, poll_io, poll_meter
from hardware.runtime.recovery import Recovery
from hardware.runtime.reservation_cache import ReservationCache
from hardware.runtime.sampler import NOTE_S, Plan, Sampler, read_plan
from hardware.runtime.snapshot_publisher import Publisher, record_of_point, record_of_station
from hardware.runtime.start_responses import StartResponses
from station import clock
from station.concurrency import BackgroundTasks, wait_or_timeout
from station.domain.commands import Outcome, Refusal, rejected
from station.domain.connector import Permission, Timer
from station.domain.faults import CATALOGUE, FaultCode, Scope
from station.domain.limits import EffectiveLimit, LimitSource
from station.domain.meter_values import MeasurandSelection
from station.domain.ports import Devices, StationInputs, TagReader
from station.domain.reservations import Reservation
from station.host import Host
from station.services import configuration, event_log, outbox, security_log, sessions
from station.services.commands import REPLY_LIFE_S, Envelope

log = logging.getLogger(__name__)

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

# Limits are computed anew at least so often: cars and cables change without a bell.
RECOMPUTE_S = 1.0
# Between two attempts at a restart (ResetRetries).
RESET_AGAIN_S = 5.0
# A card the lists disagree about is reported for this long; the event log keeps it.
CONFLICT_SHOWN_S = 2.0


class ControlLoop:
    """The live station. `run` never returns by itself; `stop` leaves the hardware in its safe state."""

    def __init__(self, devices: Devices, *, host: Host, redis: Any, has_lock: bool) -> None:
        self.database = DatabaseThread()
        self.redis = redis
        self.host = host
        self.started_at = clock.now()
        self.points = {
            number: ChargingPoint(
                number,
                controller=controller,
                meter=devices.meters.get(number),
                has_lock=has_lock,
                surroundings=self,
            )
            for number, controller in devices.controllers.items()
        }
        self._io = devices.io
        self.lamps = Lamps(devices.io)
        self.limits = LimitBook()
        self.present_limits: dict[int, tuple[EffectiveLimit, dict[LimitSource, Any]]] = {}
        self.metering = Plan(
            sampled=(), aligned=(), stop_sampled=(), stop_aligned=(), sample_interval_s=0, aligned_interval_s=0
        )
        self.connection_timeout_s = 120.0
        self.faults: dict[str, frozenset[FaultCode]] = {}
        self.operative = True
        self.journal_broken = False
        self._past_is_settled = asyncio.Event()
        self._tells_present = False
        self.starting: set[int] = set()
        self.authorizer = Authorizer(self.database, redis)
        self.admission = Admission(self)
        self.command_handlers = CommandHandlers(self)
        self.reservations_cache = ReservationCache(self)
        self.start_responses = StartResponses(self)
        self.publisher = Publisher(self)
        self.sampler = Sampler(self)
        self.readers = [
            ReaderPoll(reader, connector_id, tapped=self._tapped, unwell=self._reader_unwell)
            for connector_id, reader in devices.readers
        ]
        self._recompute = asyncio.Event()
        self._tasks = BackgroundTasks(log)

    # --- life

    async def run(self) -> None:
        """Recover what a restart interrupted, then control the hardware until cancelled."""
        await self._load()
        async with asyncio.TaskGroup() as group:
            group.create_task(self.publisher.write_statuses())
            group.create_task(self.publisher.publish_live())
            group.create_task(Recovery(self).run())
            for point in self.points.values():
                group.create_task(
                    poll_controller(
                        point,
                        observed=self._observed,
                        faults_changed=self._faults_changed,
                        station_fault=self._station_fault,
                    )
                )
                group.create_task(
                    poll_meter(
                        point,
                        measured=self._measured,
                        faults_changed=self._faults_changed,
                        station_fault=self._station_fault,
                    )
                )
            for reader in self.readers:
                group.create_task(reader.run())
            if self._io is not None:
                group.create_task(poll_io(self._io, heard=self._inputs))
            group.create_task(self.sampler.run())
            group.create_task(self._keep_limits())
            group.create_task(Periodic(self).run())

    async def stop(self) -> None:
        """Leave registers and sessions written; energy goes on at the controllers, the next start takes it over."""
        for point in self.points.values():
            await self._note(point)
        self.database.close()

    async def _load(self) -> None:
        await self._read_configuration()
        await self.reservations_cache.reload()
        for point in self.points.values():
            row = await self.database(sessions.connector, point.number)
            point.operative, point.scheduled_operative = row.operative, row.scheduled_operative
            point.actuator.available = row.operative
        row = await self.database(sessions.connector, 0)
        self.operative = row.operative

    async def _read_configuration(self) -> None:
        self.metering = await self.database(read_plan)
        self.limits.framework = await self.database(read_framework)
        self.connection_timeout_s = float(await self.database(configuration.get_int, "ConnectionTimeOut"))

    async def read_again(self) -> None:
        """Take over changed configuration and profiles."""
        await self._read_configuration()
        self.sampler.replan()
        await self.apply_limits()

    @property
    def recovered(self) -> bool:
        """Whether every session of before is resumed or closed, so that hardware may be commanded."""
        return self._past_is_settled.is_set()

    def take_over(self) -> None:
        """Begin to control: from here on events count and boards are told what they shall do."""
        for point in self.points.values():
            point.in_control = True
            # The session it waited for may have ended in the power cut.
            point.settle_availability()
        self._past_is_settled.set()

    def statuses_are_told(self) -> None:
        """Note that the statuses in the table are those of now: whoever tells the backend waits for it."""
        self._tells_present = True
        self.publisher.refresh()

    async def until_recovered(self) -> None:
        """Wait until the past is settled; cards and commands of before would meet points that look free."""
        await self._past_is_settled.wait()

    # --- what points ask (Surroundings)

    def limit_of(self, point: ChargingPoint) -> EffectiveLimit:
        """Compute all limits anew and answer this point's; the others follow with the next recomputation."""
        self._compute()
        self._recompute.set()
        return self.present_limits[point.number][0]

    def changed(self, point: ChargingPoint) -> None:
        """Record the point's status and wake whoever depends on its session."""
        self.publisher.changed(record_of_point(point, clock.now()))
        self._recompute.set()
        self.sampler.replan()
        self._tasks.spawn(self._show_lamp(point))

    def station_changed(self) -> None:
        """Record the status of the station as a whole."""
        self.publisher.changed(record_of_station(self, clock.now()))

    def seconds(self, timer: Timer) -> float:
        """Tell how long to wait for card or car."""
        return self.connection_timeout_s if timer is Timer.CONNECTION else 0.0

    def stop_selections(self) -> tuple[MeasurandSelection, ...]:
        """Tell the measurands of StopTransaction."""
        return self.metering.stop_both

    def reservation_used(self, point: ChargingPoint, permission: Permission) -> int | None:
        """Tell which reservation a session that begins now redeems."""
        return self.admission.reservation_used(point, permission.id_tag, permission.parent_id_tag)

    def outbox_filled(self) -> None:
        """Wake the OCPP process: there is something to send."""
        self._tasks.spawn(self.publisher.ring_outbox())

    async def session_written(self) -> None:
        """Read again what comes and goes with a session: the profiles of its own, the reservation it used."""
        framework = await self.write(read_framework)
        if framework is not None:
            self.limits.framework = framework
        await self.reservations_cache.reload()

    def journal_failed(self, error: Exception) -> None:
        """Refuse new sessions until the journal can be written again."""
        if not self.journal_broken:
            log.error("the journal cannot be written: %s", error)
        self.journal_broken = True
        self.set_fault("journal", frozenset({FaultCode.REGULATORY_COMPLIANCE_FAILURE}))

    def car_arrived(self, point: ChargingPoint) -> None:
        """Let a waiting card, or plug and charge, take the car."""
        self._tasks.spawn(self.admission.car_arrived(point))

    # --- state

    @property
    def reservations(self) -> tuple[Reservation, ...]:
        """The reservations that hold."""
        return self.reservations_cache.all

    @property
    def active_faults(self) -> frozenset[FaultCode]:
        """All faults of the station as a whole."""
        return frozenset[FaultCode]().union(*self.faults.values())

    @property
    def blocked(self) -> bool:
        """Whether a fault puts the whole station out of order."""
        return any(CATALOGUE[code].faulted for code in self.active_faults)

    def time_is_known(self) -> bool:
        """Whether stamps mean anything."""
        return self.host.clock.is_trustworthy()

    def not_ready(self) -> list[str]:
        """Answer why the station cannot charge; empty: it can."""
        reasons = []
        if not (self.recovered and self._tells_present):
            reasons.append("starting")
        if self.journal_broken:
            reasons.append("records_unwritable")
        if self.blocked:
            reasons.append("station_faulted")
        if not any(point.equipment.controller_ok for point in self.points.values()):
            reasons.append("controllers_silent")
        return reasons

    def set_fault(self, witness: str, codes: frozenset[FaultCode]) -> None:
        """Take what one witness says is wrong with the station."""
        if self.faults.get(witness, frozenset()) == codes:
            return
        self.faults[witness] = codes
        self.station_changed()
        self._recompute.set()

    # --- what devices tell

    async def _observed(self, point: ChargingPoint) -> None:
        pressed = bool(point.status and point.status.button_pressed)
        if pressed and not point.button_was_pressed:
            self._tasks.spawn(self.admission.button_pressed(point))
        point.button_was_pressed = pressed
        self.publisher.refresh_if_changed(point)

    async def _measured(self, point: ChargingPoint) -> None:
        self.publisher.refresh_if_changed(point)
        session = point.session
        if session is None or point.reading is None:
            return
        if session.energy_ceiling_wh is not None and point.reading.import_energy >= session.energy_ceiling_wh:
            session.energy_ceiling_wh = None
            await self.start_responses.stop_refused_session(point)
        elif clock.monotonic_s() - session.last_noted_s >= NOTE_S:
            session.last_noted_s = clock.monotonic_s()
            await self._note(point)

    async def _note(self, point: ChargingPoint) -> None:
        if point.session and point.reading:
            await self.write(
                sessions.note_meter, point.session.id, register=point.reading.import_energy, at=clock.now()
            )

    async def _faults_changed(self, point: ChargingPoint) -> None:
        self.changed(point)
        await self.apply_limits()
        await self.reservations_cache.end_hopeless()

    async def _station_fault(self, witness: str, codes: frozenset[FaultCode]) -> None:
        self.set_fault(witness, codes)

    async def _inputs(self, inputs: StationInputs) -> None:
        by_place: dict[int, set[FaultCode]] = {number: set() for number in (0, *self.points)}
        for number, codes in inputs.faults.items():
            for code in codes:
                place = 0 if CATALOGUE[code].scope is Scope.STATION else number
                by_place.setdefault(place, set()).add(code)
        self.set_fault("inputs", frozenset(by_place.pop(0)))
        for number, point in self.points.items():
            if point.on_fault("inputs", frozenset(by_place[number])):
                await self._faults_changed(point)

    async def _reader_unwell(self, unwell: bool) -> None:  # noqa: FBT001 - the reader's word
        self.set_fault("reader", frozenset({FaultCode.READER_FAILURE}) if unwell else frozenset())

    def _tapped(self, uid: str, connector_id: int | None, reader: TagReader) -> None:
        self.admission.tapped(uid, connector_id, reader)

    # --- limits

    def _compute(self) -> None:
        self.present_limits = self.limits.compute(
            self.points.values(), clock.now(), clock.monotonic_s(), station_blocked=self.blocked
        )

    async def apply_limits(self) -> None:
        """Compute all limits and make them real."""
        self._compute()
        # Reductions first, so that the sum never exceeds the mains for a moment; no point waits for another's board.
        wanted = {point: self.present_limits[point.number][0] for point in self.points.values()}
        lower = [each for each in wanted if each.effective and wanted[each].limit < each.effective.limit]
        await asyncio.gather(*(each.apply_limit(wanted[each]) for each in lower))
        await asyncio.gather(*(each.apply_limit(wanted[each]) for each in wanted if each not in lower))

    async def _keep_limits(self) -> None:
        while True:
            self._recompute.clear()
            if self.recovered:
                await self.apply_limits()
            wait_s = RECOMPUTE_S
            change = self.limits.next_change(self.points.values(), clock.now())
            if change is not None:
                wait_s = min(wait_s, max((change - clock.now()).total_seconds(), 0.0))
            settled_s = self.limits.state.next_settled_s(clock.monotonic_s())
            if settled_s is not None:
                wait_s = min(wait_s, max(settled_s - clock.monotonic_s(), 0.0))
            await wait_or_timeout(self._recompute, max(wait_s, 0.01))

    # --- the lamp

    async def _show_lamp(self, point: ChargingPoint) -> None:
        await self.lamps.show(point.number, pattern_of(point.ocpp_status, point.active_faults | self.active_faults))

    # --- commands and bells

    async def command(self, envelope: Envelope) -> None:
        """Carry a command out, leave the audit entry and answer whoever asked."""
        await self.until_recovered()
        if clock.now() > envelope.expires_at:
            outcome = rejected(Refusal.TOO_LATE)
        else:
            try:
                outcome = await self.command_handlers.carry_out(envelope.command, envelope.origin.value)
            except DatabaseError as error:
                self.journal_failed(error)
                outcome = rejected(Refusal.RECORDS_UNWRITABLE)
        try:
            await self.redis.rpush(envelope.reply_key, json.dumps(outcome.encode()))
            await self.redis.expire(envelope.reply_key, REPLY_LIFE_S)
        except (RedisError, OSError):
            log.info("nobody can hear the answer to a command")
        await self.write(event_log.audit, envelope, outcome)

    async def informed(self, kind: str, data: dict[str, Any]) -> None:
        """Hear a bell of another process."""
        match kind:
            case "authorized":
                self.authorizer.answered(data)
            case "start_answered":
                await self.start_responses.start_answered(data)
            case "configuration" | "profiles":
                await self.read_again()
            case _:
                self.publisher.refresh()

    async def tell_refusal(self, id_tag: str, outcome: Outcome) -> None:
        """Explain a refused start in the event log; the page and the reader show it."""
        reason = outcome.reason.value if outcome.reason else ""
        await self.write(
            event_log.log, "start.refused", at=clock.now(), id_tag=id_tag[:4], reason=reason, **outcome.data
        )

    async def tell_list_conflict(self) -> None:
        """Report that the backend refuses a card of its own list (OCPP 1.6 section 3.5.2)."""
        self.set_fault("list", frozenset({FaultCode.LOCAL_LIST_CONFLICT}))
        asyncio.get_running_loop().call_later(CONFLICT_SHOWN_S, self.set_fault, "list", frozenset())

    # --- helpers of orders

    async def store_availability(self) -> None:
        """Make availability durable before it is confirmed."""
        await self.database(_store_availability, self.operative, list(self.points.values()))

    async def wait_until_delivered(self, patience_s: float) -> None:
        """Wait until the backend has confirmed everything, but not for ever."""
        deadline_s = clock.monotonic_s() + patience_s
        while clock.monotonic_s() < deadline_s and await self.database(outbox.owed) > 0:
            await asyncio.sleep(0.1)

    async def restart(self, *, hard: bool, origin: str) -> None:
        """Restart the software, or the computer and the controllers."""
        await self.write(event_log.log, "station.restart", at=clock.now(), hard=hard, origin=origin)
        await self.write(security_log.record, "ResetOrReboot", at=clock.now(), tech_info=f"asked by {origin}")
        for point in self.points.values():
            await self._note(point)
        retries = await self.write(configuration.get_int, "ResetRetries") or 0
        for attempt in range(retries + 1):
            if attempt:
                await asyncio.sleep(RESET_AGAIN_S)
            try:
                (self.host.power.reboot if hard else self.host.power.restart_software)()
            except (OSError, RuntimeError) as error:
                log.exception("the restart failed")
                await self.write(event_log.log, "station.restart.failed", at=clock.now(), error=str(error)[:200])
            else:
                self.set_fault("reset", frozenset())
                return
        self.set_fault("reset", frozenset({FaultCode.RESET_FAILURE}))

    async def write(
        self, verb: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result | None:
        """Write something whose loss does not endanger a record; a failure is the journal's fault, not the caller's."""
        try:
            return await self.database(verb, *args, **kwargs)
        except (DatabaseError, OSError) as error:
            self.journal_failed(error)
            return None


def _store_availability(operative: bool, points: list[ChargingPoint]) -> None:  # noqa: FBT001 - stored as it is
    from django.db import transaction

    with transaction.atomic():
        for number, is_operative, scheduled in [
            (0, operative, None),
            *((point.number, point.operative, point.scheduled_operative) for point in points),
        ]:
            row = sessions.connector(number)
            row.operative, row.scheduled_operative = is_operative, scheduled
            row.save(update_fields=["operative", "scheduled_operative"])
