"""Who may begin or end charging where: cards at the reader, remote starts, plug and charge."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError

from hardware.runtime.pollers import signal
from station import clock
from station.concurrency import BackgroundTasks
from station.domain import connector as machine
from station.domain.authorization import Reason, Verdict, may_stop, same_tag
from station.domain.commands import Outcome, Refusal, Status, rejected
from station.domain.connector import Permission, Phase
from station.domain.pilot import DEBOUNCE_S
from station.domain.ports import ReaderSignal, TagReader
from station.domain.reservations import Refusal as ReservedForOther
from station.domain.reservations import Reservation, may_start
from station.services import configuration

if TYPE_CHECKING:
    from hardware.runtime.control_loop import ControlLoop
    from hardware.runtime.point import ChargingPoint

log = logging.getLogger(__name__)

# Two quick polls and the debounce of the pilot take about 80 ms; nobody at the reader notices twice that.
LOOK_S = 0.3


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """Somebody wants to charge, at `point`; a card at the reader may mean any of the points `among`."""

    id_tag: str
    origin: str
    point: "ChargingPoint | None" = None
    among: "Sequence[ChargingPoint]" = ()
    profile: dict[str, Any] | None = None
    judge: bool = True
    reader: TagReader | None = None


class Admission:
    """Matches cards with charging points; one judgement per card at a time."""

    def __init__(self, station: "ControlLoop") -> None:
        self._station = station
        self._judging: set[str] = set()
        self._tasks = BackgroundTasks(log)

    # --- cards

    def tapped(self, uid: str, connector_id: int | None, reader: TagReader | None) -> None:
        """Take a card held to a reader."""
        self._tasks.spawn(self.present_tag(uid, connector_id, origin="reader", reader=reader))

    async def present_tag(
        self, id_tag: str, connector_id: int | None, *, origin: str, reader: TagReader | None = None
    ) -> Outcome:
        """Do what a card at the reader means: end its own session, or begin one."""
        await self._station.until_recovered()
        key = id_tag.casefold()
        if key in self._judging:
            return rejected(Refusal.START_PENDING)
        points = [each for each in self._station.points.values() if connector_id in {None, each.number}]
        if not points:
            return rejected(Refusal.CONNECTOR_UNKNOWN)
        self._judging.add(key)
        try:
            outcome = await self._act_on_tag(id_tag, points, origin, reader)
        except DatabaseError as error:
            self._station.journal_failed(error)
            outcome = rejected(Refusal.RECORDS_UNWRITABLE)
        finally:
            self._judging.discard(key)
        self._tasks.spawn(signal(reader, ReaderSignal.ACCEPTED if outcome.succeeded else ReaderSignal.REFUSED))
        if not outcome.succeeded:
            self._tasks.spawn(self._blink(points))
            await self._station.tell_refusal(id_tag, outcome)
        return outcome

    async def _blink(self, points: "Sequence[ChargingPoint]") -> None:
        """Show at the points that could have been meant that the card is refused."""
        repeat = await self._station.write(configuration.get_int, "BlinkRepeat") or 0
        await self._station.lamps.refuse([each.number for each in points if each.session is None], repeat)

    async def _act_on_tag(
        self, id_tag: str, points: "Sequence[ChargingPoint]", origin: str, reader: TagReader | None
    ) -> Outcome:
        for point in points:
            if point.kept_locked_for is not None and same_tag(point.kept_locked_for, id_tag):
                point.kept_locked_for = None
                await point.actuator.unlock()
                return Outcome(status=Status.ACCEPTED)
            waiting_card = point.state.permission if point.state.phase is Phase.AUTHORIZED else None
            if waiting_card is not None and same_tag(waiting_card.id_tag, id_tag):
                await point.handle(machine.StopRequested(reason="Local", id_tag=id_tag))
                return Outcome(status=Status.ACCEPTED)
        if not self._waiting(points):
            await self._look(points)
        if not self._waiting(points):
            stopped = await self._stop_with(id_tag, points)
            if stopped is not None:
                return stopped
        chosen = self._choose(points)
        if isinstance(chosen, Refusal):
            return rejected(chosen)
        self._tasks.spawn(signal(reader, ReaderSignal.WAIT))
        return await self._admit(StartRequest(id_tag=id_tag, origin=origin, point=chosen, among=points, reader=reader))

    def _waiting(self, points: "Sequence[ChargingPoint]") -> "list[ChargingPoint]":
        return [each for each in points if each.waits_for_card and self._usable(each) is None]

    async def _look(self, points: "Sequence[ChargingPoint]") -> None:
        """Look at the plugs before the card is understood.

        A cable may have been plugged in or pulled since the last poll, and what a card means depends on it. A silent
        board, or one that is busy ending a session, is not waited for long.
        """
        asked_s = clock.monotonic_s()
        for point in points:
            point.hurry()

        def is_settled(point: "ChargingPoint") -> bool:
            seen = point.status is not None and point.status.read_at_s >= asked_s + DEBOUNCE_S
            return (seen and point.pilot.doubt is None) or not point.equipment.controller_ok

        while clock.monotonic_s() - asked_s < LOOK_S and not all(is_settled(each) for each in points):
            await asyncio.sleep(LOOK_S / 30)

    async def _stop_with(self, id_tag: str, points: "Sequence[ChargingPoint]") -> Outcome | None:
        charging = [each for each in points if each.session is not None]
        # The same card ends its session without asking anybody (OCPP 1.6 section 4.8).
        own = [each for each in charging if each.session and same_tag(each.session.id_tag, id_tag)]
        if not own and charging:
            own = await self._of_same_group(id_tag, charging)
        if not own:
            return None
        newest = max(own, key=lambda each: each.phase_since)
        newest.post(machine.StopRequested(reason="Local", id_tag=id_tag))
        return Outcome(status=Status.ACCEPTED)

    async def _of_same_group(self, id_tag: str, charging: "list[ChargingPoint]") -> "list[ChargingPoint]":
        grouped = [each for each in charging if each.session and each.session.parent_id_tag]
        if not grouped:
            return []
        parent = await self._station.authorizer.known_parent(id_tag)
        if not parent and len(charging) == len(self._station.points):
            # Nothing is free, so this card can only mean to stop; the backend knows its group.
            judgement = await self._station.authorizer.judge(id_tag)
            accepted = judgement.decision.verdict is Verdict.ACCEPTED
            parent = (judgement.decision.parent_id_tag or "") if accepted else ""
        return [
            each
            for each in grouped
            if each.session and may_stop(each.session.id_tag, each.session.parent_id_tag, id_tag, parent)
        ]

    # --- choosing a point

    def _usable(self, point: "ChargingPoint") -> Refusal | None:
        if point.blocked or self._station.blocked:
            return Refusal.CONNECTOR_FAULTED
        if not point.overlay.operative:
            return Refusal.CONNECTOR_UNAVAILABLE
        if point.busy:
            return Refusal.CONNECTOR_OCCUPIED
        if self._station.journal_broken:
            return Refusal.RECORDS_UNWRITABLE
        return None

    def _choose(self, points: "Sequence[ChargingPoint]") -> "ChargingPoint | Refusal":
        """Pick the point a card means.

        The car that waits longest, then a car that stayed after its session, then a free socket. A car that waited
        longer than ConnectionTimeOut has to be plugged in anew.
        """
        usable = [each for each in points if self._usable(each) is None]
        for phase in (Phase.PLUGGED, Phase.FINISHING, Phase.AVAILABLE):
            found = [
                each
                for each in usable
                if each.state.phase is phase and (phase is not Phase.FINISHING or each.state.car)
            ]
            if found:
                return min(found, key=lambda each: (each.phase_since if phase is Phase.PLUGGED else 0, each.number))
        if any(each.state.phase is Phase.LAPSED for each in usable):
            return Refusal.REPLUG_NEEDED
        reasons = [reason for each in points if (reason := self._usable(each)) is not None]
        return reasons[0] if len(set(reasons)) == 1 else Refusal.NO_CONNECTOR_FREE

    # --- remote start

    async def start_remotely(
        self, id_tag: str, point: "ChargingPoint | None", wish: StartRequest, *, patience_s: float = 0.0
    ) -> Outcome:
        """Check a remote start and begin it; accepted means "will try" unless the card is judged in `patience_s`."""
        if point is not None:
            reason = self._usable(point)
            if reason is not None:
                return rejected(Refusal.START_PENDING if point.state.phase is Phase.AUTHORIZED else reason)
            if point.number in self._starting:
                return rejected(Refusal.START_PENDING)
            refused = self._reserved_for_other(point, id_tag, "")
            if refused is not None and not refused.ask_parent:
                return rejected(Refusal.CONNECTOR_RESERVED)
        else:
            points = list(self._station.points.values())
            if not self._waiting(points):
                await self._look(points)
            chosen = self._choose(points)
            if chosen is Refusal.REPLUG_NEEDED:
                lapsed = [each for each in self._station.points.values() if each.state.phase is Phase.LAPSED]
                chosen = lapsed[0]
            if isinstance(chosen, Refusal):
                return rejected(chosen)
            point = chosen
        self._starting.add(point.number)
        starting = self._tasks.spawn(self._start(point, wish))
        if patience_s:
            done, _ = await asyncio.wait({starting}, timeout=patience_s)
            if done:
                outcome: Outcome = starting.result()
                return outcome
        return Outcome(status=Status.ACCEPTED, data={"connector_id": point.number})

    @property
    def _starting(self) -> set[int]:
        return self._station.starting

    async def _start(self, point: "ChargingPoint", wish: StartRequest) -> Outcome:
        try:
            outcome = await self._admit(
                StartRequest(
                    id_tag=wish.id_tag, origin=wish.origin, point=point, profile=wish.profile, judge=wish.judge
                )
            )
        finally:
            self._starting.discard(point.number)
        if not outcome.succeeded:
            await self._station.tell_refusal(wish.id_tag, outcome)
        return outcome

    # --- admitting

    async def _admit(self, wish: StartRequest) -> Outcome:
        point = wish.point
        if point is None:
            return rejected(Refusal.NO_CONNECTOR_FREE)
        parent, reason = "", "remote_start"
        if wish.judge:
            judgement = await self._station.authorizer.judge(wish.id_tag)
            if judgement.list_conflict:
                await self._station.tell_list_conflict()
            decision = judgement.decision
            if decision.verdict is not Verdict.ACCEPTED:
                return rejected(Refusal.TAG_REFUSED, because=decision.reason.value)
            parent, reason = decision.parent_id_tag or "", decision.reason.value
        else:
            parent = await self._station.authorizer.known_parent(wish.id_tag)
        if not parent and reason != Reason.BACKEND_ACCEPTED and self._needs_group(wish):
            parent = await self._station.authorizer.group_of(wish.id_tag)
        # While the backend thought, the driver may have plugged in, or somebody else may have come.
        if wish.among:
            chosen = self._choose(wish.among)
            if isinstance(chosen, Refusal):
                return rejected(chosen)
            point = chosen
        problem = self._usable(point)
        if problem is not None:
            return rejected(problem)
        reservation = self._reserved_for_other(point, wish.id_tag, parent)
        if reservation is not None:
            return rejected(Refusal.CONNECTOR_RESERVED)
        permission = Permission(
            id_tag=wish.id_tag,
            origin=wish.origin,
            reason=reason,
            parent_id_tag=parent,
            profile=wish.profile,
        )
        if not await point.handle(machine.TagAuthorized(permission=permission)):
            return rejected(Refusal.CONNECTOR_OCCUPIED)
        if self._station.journal_broken:
            return rejected(Refusal.RECORDS_UNWRITABLE)
        return Outcome(status=Status.ACCEPTED, data={"connector_id": point.number})

    def _needs_group(self, wish: StartRequest) -> bool:
        """Tell whether only the card's group, which is not known here, could open a reserved point (section 5.13)."""
        points = wish.among or ([wish.point] if wish.point else [])
        refusals = [self._reserved_for_other(each, wish.id_tag, "") for each in points]
        return any(refusal is not None and refusal.ask_parent for refusal in refusals)

    def _check_reservation(
        self, point: "ChargingPoint", id_tag: str, parent: str
    ) -> Reservation | ReservedForOther | None:
        free = [each.number for each in self._station.points.values() if self._usable(each) is None]
        return may_start(
            id_tag,
            parent or None,
            point.number,
            reservations=self._station.reservations,
            free_connectors=free,
            now=clock.now(),
        )

    def _reserved_for_other(self, point: "ChargingPoint", id_tag: str, parent: str) -> ReservedForOther | None:
        found = self._check_reservation(point, id_tag, parent)
        return found if isinstance(found, ReservedForOther) else None

    def reservation_used(self, point: "ChargingPoint", id_tag: str, parent: str) -> int | None:
        """Find the reservation this card redeems at this point."""
        found = self._check_reservation(point, id_tag, parent)
        return found.reservation_id if isinstance(found, Reservation) else None

    # --- cars

    async def car_arrived(self, point: "ChargingPoint") -> None:
        """A car was plugged in: it may belong to a card that waits at another point, or need no card at all."""
        for other in self._station.points.values() if self._usable(point) is None else ():
            permission = other.state.permission
            if other is point or other.state.phase is not Phase.AUTHORIZED or permission is None:
                continue
            if permission.origin == "reader" and self._reserved_for_other(point, permission.id_tag, "") is None:
                await other.handle(machine.StopRequested(reason="Local"))
                await point.handle(machine.TagAuthorized(permission=permission))
                return
        if await self._station.database(configuration.get_bool, "/hw/auth/device/Dummy/enabled"):
            dummy = await self._station.database(configuration.get, "/hw/auth/device/Dummy/id/value")
            outcome = await self._admit(StartRequest(id_tag=dummy, origin="plug", point=point))
            if not outcome.succeeded:
                await self._station.tell_refusal(dummy, outcome)

    async def button_pressed(self, point: "ChargingPoint") -> None:
        """The stop button: ends a session, in plug and charge only where the owner allows it."""
        if point.session is None:
            return
        free = point.session.origin == "plug"
        if free and not await self._station.database(configuration.get_bool, "/hw/auth/device/Dummy/allowStop"):
            return
        await point.handle(machine.StopRequested(reason="Local"))
