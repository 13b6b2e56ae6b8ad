"""Carrying out commands: the inner side of the one door (`station.services.commands`)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from hardware.runtime.admission import StartRequest
from hardware.runtime.point import LOCK_MOVES_S
from station import clock
from station.concurrency import BackgroundTasks
from station.domain import connector as machine
from station.domain.charging_profiles import (
    ProfileFormatError,
    check_remote_start,
    parse_profile,
)
from station.domain.commands import (
    CancelReservation,
    Command,
    Origin,
    Outcome,
    PrepareUpdate,
    PresentTag,
    Refusal,
    Reserve,
    Reset,
    SetAvailability,
    StartSession,
    Status,
    StopSession,
    UnlockConnector,
    rejected,
)
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.moments import from_wire
from station.domain.reservations import Condition, Reservation, ReserveStatus, check_reserve
from station.services import charging_profiles, configuration, reservations, sessions

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

log = logging.getLogger(__name__)

# How long a restart waits for the backend to confirm the last messages; the queue survives in any case.
FLUSH_S = 8.0
# A restart begins only after the answer to whoever asked has had time to leave.
ANSWER_LEAVES_S = 0.5
# Time after which a board has noticed that the bolt of its lock does not move.
LOCK_IS_JUDGED_S = 0.6
# Shorter than `commands.DEFAULT_WAIT_S`, so that the answer still finds its asker.
PERSON_WAITS_S = 3.5
_ACCEPTED = Outcome(status=Status.ACCEPTED)


class CommandHandlers:
    """One method per command."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station
        self._tasks = BackgroundTasks(log)
        self._verbs: dict[type[Command], Callable[[Any, str], Awaitable[Outcome]]] = {
            PresentTag: self._present_tag,
            StartSession: self._start,
            StopSession: self._stop,
            UnlockConnector: self._unlock,
            SetAvailability: self._set_availability,
            Reset: self._reset,
            Reserve: self._reserve,
            CancelReservation: self._cancel_reservation,
            PrepareUpdate: self._prepare_update,
        }

    async def carry_out(self, command: Command, origin: str) -> Outcome:
        """Do what the command asks, or refuse with a reason."""
        return await self._verbs[type(command)](command, origin)

    def _point(self, connector_id: int | None) -> "ChargingPoint | None":
        return self._station.points.get(connector_id or 0)

    async def _present_tag(self, command: PresentTag, origin: str) -> Outcome:
        if not 0 < len(command.id_tag) <= MAX_ID_TAG_LENGTH:
            return rejected(Refusal.TAG_INVALID)
        return await self._station.admission.present_tag(command.id_tag, command.connector_id, origin=origin)

    async def _start(self, command: StartSession, origin: str) -> Outcome:
        if not 0 < len(command.id_tag) <= MAX_ID_TAG_LENGTH:
            return rejected(Refusal.TAG_INVALID)
        point = None
        if command.connector_id is not None:
            point = self._point(command.connector_id)
            if point is None:
                return rejected(Refusal.CONNECTOR_UNKNOWN)
        if command.charging_profile is not None and not await self._profile_fits(command, point):
            return rejected(Refusal.PROFILE_INVALID)
        wish = StartRequest(
            id_tag=command.id_tag, origin=origin, profile=command.charging_profile, judge=command.authorize
        )
        # A person at the page waits for the verdict on the card; a backend only wants to know that it is tried.
        patience_s = PERSON_WAITS_S if origin == Origin.WEB else 0.0
        return await self._station.admission.start_remotely(command.id_tag, point, wish, patience_s=patience_s)

    async def _profile_fits(self, command: StartSession, point: "ChargingPoint | None") -> bool:
        try:
            profile = parse_profile(command.charging_profile or {})
        except ProfileFormatError:
            return False
        context = await self._station.database(charging_profiles.context)
        return check_remote_start(profile, point.number if point else 1, context) is None

    async def _stop(self, command: StopSession, _origin: str) -> Outcome:
        if command.transaction_id is not None:
            point = next(
                (
                    each
                    for each in self._station.points.values()
                    if each.session and each.session.transaction_id == command.transaction_id
                ),
                None,
            ) or await self._by_transaction(command.transaction_id)
            if point is None:
                return rejected(Refusal.TRANSACTION_UNKNOWN)
        else:
            point = self._point(command.connector_id)
            if point is None:
                return rejected(Refusal.CONNECTOR_UNKNOWN)
        if not point.busy:
            return rejected(Refusal.NO_SESSION)
        point.post(machine.StopRequested(reason=command.reason))
        return _ACCEPTED

    async def _by_transaction(self, transaction_id: int) -> "ChargingPoint | None":
        """Find it in the database: the bell that brings the number may still be on its way."""
        row = await self._station.database(sessions.by_transaction, transaction_id)
        return self._point(row.connector_id) if row else None

    async def _unlock(self, command: UnlockConnector, _origin: str) -> Outcome:
        point = self._point(command.connector_id)
        if point is None:
            return Outcome(status=Status.NOT_SUPPORTED, reason=Refusal.CONNECTOR_UNKNOWN)
        if not point.actuator.has_lock:
            return Outcome(status=Status.NOT_SUPPORTED, reason=Refusal.NO_LOCK)
        was_locked = point.status is None or point.status.locked is not False
        unlocked_s = clock.monotonic_s()
        if point.state.has_session:
            await point.handle(machine.StopRequested(reason="UnlockCommand"))
        else:
            await point.actuator.unlock()
        point.kept_locked_for = None
        # A board tells at once what its lock was commanded, and only later that the bolt did not follow.
        judged_s = clock.monotonic_s() + (LOCK_IS_JUDGED_S if was_locked else 0.0)
        deadline_s = clock.monotonic_s() + LOCK_MOVES_S
        point.hurry(LOCK_MOVES_S)
        while clock.monotonic_s() < deadline_s:
            status = point.status
            if status is not None and status.read_at_s > unlocked_s:
                if FaultCode.CONNECTOR_LOCK_FAILURE in status.faults:
                    break
                if status.locked is False and status.read_at_s >= judged_s:
                    return Outcome(status=Status.UNLOCKED)
            await asyncio.sleep(0.05)
        return Outcome(status=Status.UNLOCK_FAILED, reason=Refusal.LOCK_STUCK)

    async def _set_availability(self, command: SetAvailability, _origin: str) -> Outcome:
        if command.connector_id == 0:
            points = list(self._station.points.values())
        elif (point := self._point(command.connector_id)) is not None:
            points = [point]
        else:
            return rejected(Refusal.CONNECTOR_UNKNOWN)
        scheduled = False
        for point in points:
            if point.state.has_session and point.operative != command.operative:
                point.scheduled_operative = command.operative
                scheduled = True
            else:
                point.scheduled_operative = None
                point.operative = command.operative
                if not command.operative and point.state.phase is Phase.AUTHORIZED:
                    await point.handle(machine.StopRequested(reason="Local"))
                await point.actuator.set_available(command.operative)
        if command.connector_id == 0:
            self._station.operative = command.operative
        await self._station.store_availability()
        await self._station.reservations_cache.end_hopeless()
        for point in points:
            self._station.changed(point)
        self._station.station_changed()
        return Outcome(status=Status.SCHEDULED) if scheduled else _ACCEPTED

    async def _reset(self, command: Reset, origin: str) -> Outcome:
        self._tasks.spawn(self._restart(command, origin))
        return _ACCEPTED

    async def _restart(self, command: Reset, origin: str) -> None:
        await asyncio.sleep(ANSWER_LEAVES_S)
        if command.stop_sessions:
            await asyncio.gather(
                *(
                    point.handle(machine.StopRequested(reason=command.reason))
                    for point in self._station.points.values()
                    if point.busy
                )
            )
            await self._station.wait_until_delivered(FLUSH_S)
        await self._station.restart(hard=command.hard, origin=origin)

    async def _reserve(self, command: Reserve, _origin: str) -> Outcome:
        try:
            expires_at = from_wire(command.expires_at)
        except ValueError:
            return rejected(Refusal.MALFORMED)
        wanted = Reservation(
            reservation_id=command.reservation_id,
            connector_id=command.connector_id,
            id_tag=command.id_tag,
            expires_at=expires_at,
            parent_id_tag=command.parent_id_tag or None,
        )
        zero_supported = await self._station.database(configuration.get_bool, "ReserveConnectorZeroSupported")
        status = check_reserve(
            wanted,
            enabled=True,
            zero_supported=zero_supported,
            conditions=self._conditions(),
            reservations=self._station.reservations,
            now=clock.now(),
        )
        if status is not ReserveStatus.ACCEPTED:
            return Outcome(status=Status.REJECTED, reason=Refusal.CONNECTOR_OCCUPIED, data={"ocpp": status.value})
        await self._station.database(reservations.store, wanted)
        await self._station.reservations_cache.reload()
        return Outcome(status=Status.ACCEPTED, data={"ocpp": status.value})

    def _conditions(self) -> dict[int, Condition]:
        conditions = {0: Condition.FAULTED if self._station.blocked else Condition.FREE}
        for point in self._station.points.values():
            if point.blocked:
                conditions[point.number] = Condition.FAULTED
            elif point.state.phase is not Phase.AVAILABLE:
                conditions[point.number] = Condition.OCCUPIED
            elif not point.operative:
                conditions[point.number] = Condition.UNAVAILABLE
            else:
                conditions[point.number] = Condition.FREE
        return conditions

    async def _cancel_reservation(self, command: CancelReservation, _origin: str) -> Outcome:
        removed = await self._station.database(reservations.delete, [command.reservation_id])
        if not removed:
            return rejected(Refusal.MALFORMED)
        await self._station.reservations_cache.reload()
        return _ACCEPTED

    async def _prepare_update(self, command: PrepareUpdate, _origin: str) -> Outcome:
        for point in self._station.points.values():
            point.held_back = command.begin
            self._station.changed(point)
        return _ACCEPTED
