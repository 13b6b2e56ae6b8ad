"""Where a card is decided: who may begin or end charging where, by card, remote start, or plug and charge."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from django.db import DatabaseError

from hardware.runtime.authorizer import Authorizer
from hardware.runtime.free_charging import FreeCharging
from hardware.runtime.lamp import Lamps
from hardware.runtime.point import ChargingPoint
from hardware.runtime.point_choice import PointChoice
from hardware.runtime.records import RecordStore
from hardware.runtime.refusals import Refusals
from hardware.runtime.state import StationState
from station import clock
from station.concurrency import BackgroundTasks
from station.domain import connector as machine
from station.domain.authorization import Reason, Verdict, may_stop, same_tag
from station.domain.commands import Outcome, Refusal, Status, rejected
from station.domain.connector import Permission, Phase
from station.domain.legic import PATTERN_KEYS, LegicTechnology, NumberUnfit, id_tag_of
from station.domain.ports import DeviceFailed, ReaderSignal, Tag, TagReader
from station.services import configuration

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StartRequest:
    """Somebody wants to charge, at `point`; a card at the reader may mean any of the points `among`.

    Without `authorize` the card is taken as it is (AuthorizeRemoteTxRequests off).
    """

    id_tag: str
    origin: str
    point: ChargingPoint | None = None
    among: Sequence[ChargingPoint] = ()
    profile: dict[str, Any] | None = None
    authorize: bool = True


class Admission:
    """Matches cards with charging points; one decision per card at a time."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        *,
        choice: PointChoice,
        authorizer: Authorizer,
        refusals: Refusals,
        lamps: Lamps,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._choice = choice
        self._authorizer = authorizer
        self._refusals = refusals
        self._lamps = lamps
        self._undecided: set[str] = set()
        # Points at which a remote start is being decided.
        self._starting: set[int] = set()
        self._phases: dict[int, Phase] = {}
        # Points at which it is being found out whose car has come.
        self._arriving: set[int] = set()
        self._free_charging = FreeCharging(
            points, records, choice=choice, refusals=refusals, admit=self._admit_without_card
        )
        self._tasks = BackgroundTasks(logger)

    # --- cards

    def tapped(self, tag: Tag, connector_id: int | None, reader: TagReader) -> None:
        """Take a card held to a reader."""
        if tag.technology in PATTERN_KEYS:
            self._tasks.spawn(self._take_legic(tag.uid, LegicTechnology(tag.technology), connector_id, reader))
        else:
            self._take(tag.uid, connector_id, reader)

    def _take(self, id_tag: str, connector_id: int | None, reader: TagReader) -> None:
        self._state.seen_cards.note(id_tag, clock.now())
        self._tasks.spawn(self.present_tag(id_tag, connector_id, origin="reader", reader=reader))

    async def _take_legic(
        self, uid: str, technology: LegicTechnology, connector_id: int | None, reader: TagReader
    ) -> None:
        """Take the part of the card's number that counts; a number that is cut otherwise would be another card."""
        try:
            pattern = await self._records.execute(configuration.get, PATTERN_KEYS[technology])
            id_tag = id_tag_of(pattern, uid)
        except DatabaseError as error:
            self._records.report_failure(error)
            refusal = Refusal.RECORDS_UNWRITABLE
        except NumberUnfit:
            refusal = Refusal.TAG_INVALID
        else:
            self._take(id_tag, connector_id, reader)
            return
        self._tasks.spawn(_signal(reader, ReaderSignal.REFUSED))
        meant = [each.number for each in self._points.values() if connector_id in {None, each.number}]
        await self._refusals.note(uid, rejected(refusal), meant)

    async def present_tag(
        self, id_tag: str, connector_id: int | None, *, origin: str, reader: TagReader | None = None
    ) -> Outcome:
        """Do what a card at the reader means: end its own session, or begin one."""
        await self._state.until_recovered()
        key = id_tag.casefold()
        if key in self._undecided:
            return rejected(Refusal.START_PENDING)
        points = [each for each in self._points.values() if connector_id in {None, each.number}]
        if not points:
            return rejected(Refusal.CONNECTOR_UNKNOWN)
        self._undecided.add(key)
        try:
            outcome = await self._act_on_tag(id_tag, points, origin, reader)
        except DatabaseError as error:
            self._records.report_failure(error)
            outcome = rejected(Refusal.RECORDS_UNWRITABLE)
        finally:
            self._undecided.discard(key)
        self._tasks.spawn(_signal(reader, ReaderSignal.ACCEPTED if outcome.succeeded else ReaderSignal.REFUSED))
        if not outcome.succeeded:
            # What is wrong at one point says nothing about another one.
            at = outcome.data.get("connector_id")
            meant = [each.number for each in points if each.session is None] if at is None else [at]
            self._tasks.spawn(self._blink(meant))
            await self._refusals.note(id_tag, outcome, meant)
        return outcome

    async def _blink(self, numbers: Sequence[int]) -> None:
        """Show at the points that could have been meant that the card is refused."""
        repeat = await self._records.attempt(configuration.get_int, "BlinkRepeat") or 0
        await self._lamps.refuse(numbers, repeat)

    async def _act_on_tag(
        self, id_tag: str, points: Sequence[ChargingPoint], origin: str, reader: TagReader | None
    ) -> Outcome:
        for point in points:
            if point.kept_locked_for is not None and same_tag(point.kept_locked_for, id_tag):
                await point.unlock()
                return Outcome(status=Status.ACCEPTED)
            waiting_card = point.state.permission if point.state.phase is Phase.AUTHORIZED else None
            if waiting_card is not None and same_tag(waiting_card.id_tag, id_tag):
                await point.handle(machine.StopRequested(reason="Local", id_tag=id_tag))
                return Outcome(status=Status.ACCEPTED)
        # A card that owns a session ends it, wherever another car waits: that may be a stranger's.
        own = [each for each in points if each.session and same_tag(each.session.id_tag, id_tag)]
        running = [each for each in own if each.session and not each.session.ending]
        if running:
            return await self._stop(max(running, key=lambda each: each.phase_since), id_tag)
        if not self._choice.waiting(points):
            await self._choice.look(points)
        if not self._choice.waiting(points):
            if own and all(each.session is None or each.session.stop_is_recorded for each in own):
                return Outcome(status=Status.ACCEPTED)
            stopped = await self._stop_with(id_tag, points)
            if stopped is not None:
                return stopped
        chosen = self._choice.choose(points, id_tag)
        if isinstance(chosen, Refusal):
            return rejected(chosen)
        self._tasks.spawn(_signal(reader, ReaderSignal.WAIT))
        return await self._admit(StartRequest(id_tag=id_tag, origin=origin, point=chosen, among=points))

    async def _stop_with(self, id_tag: str, points: Sequence[ChargingPoint]) -> Outcome | None:
        charging = [each for each in points if each.session is not None and not each.session.ending]
        of_group = await self._of_same_group(id_tag, charging)
        if not of_group:
            return None
        return await self._stop(max(of_group, key=lambda each: each.phase_since), id_tag)

    async def _stop(self, point: ChargingPoint, id_tag: str) -> Outcome:
        """End a session by card (OCPP 1.6 section 4.8); the driver is told when that is written down."""
        session = point.session
        await point.handle(machine.StopRequested(reason="Local", id_tag=id_tag))
        if session is not None and not session.stop_is_recorded:
            return rejected(Refusal.RECORDS_UNWRITABLE)
        return Outcome(status=Status.ACCEPTED)

    async def _of_same_group(self, id_tag: str, charging: list[ChargingPoint]) -> list[ChargingPoint]:
        grouped = [each for each in charging if each.session and each.session.parent_id_tag]
        if not grouped:
            return []
        parent = await self._authorizer.known_parent(id_tag)
        if not parent and len(charging) == len(self._points):
            # Nothing is free, so this card can only mean to stop; the backend knows its group.
            judgement = await self._authorizer.judge(id_tag)
            accepted = judgement.decision.verdict is Verdict.ACCEPTED
            parent = (judgement.decision.parent_id_tag or "") if accepted else ""
        return [
            each
            for each in grouped
            if each.session and may_stop(each.session.id_tag, each.session.parent_id_tag, id_tag, parent)
        ]

    # --- remote start

    async def start_remotely(self, request: StartRequest, *, patience_s: float = 0.0) -> Outcome:
        """Check a remote start and begin it; accepted means "will try" unless the card is decided in `patience_s`."""
        chosen = (
            self._check_named(request.point, request.id_tag)
            if request.point
            else await self._find_point(request.id_tag)
        )
        if isinstance(chosen, Refusal):
            return rejected(chosen)
        self._starting.add(chosen.number)
        starting = self._tasks.spawn(self._start(replace(request, point=chosen)))
        if patience_s:
            done, _ = await asyncio.wait({starting}, timeout=patience_s)
            if done:
                return starting.result()
        return Outcome(status=Status.ACCEPTED, data={"connector_id": chosen.number})

    def _check_named(self, point: ChargingPoint, id_tag: str) -> ChargingPoint | Refusal:
        reason = self._choice.refusal_at(point)
        if reason is not None:
            return Refusal.START_PENDING if point.state.phase is Phase.AUTHORIZED else reason
        if point.number in self._starting:
            return Refusal.START_PENDING
        refused = self._choice.reserved_for_other(point, id_tag, "")
        if refused is not None and not refused.ask_parent:
            return Refusal.CONNECTOR_RESERVED
        return point

    async def _find_point(self, id_tag: str) -> ChargingPoint | Refusal:
        points = list(self._points.values())
        if not self._choice.waiting(points):
            await self._choice.look(points)
        chosen = self._choice.choose(points, id_tag)
        if chosen is Refusal.REPLUG_NEEDED:
            return next(each for each in points if each.state.phase is Phase.LAPSED)
        return chosen

    async def _start(self, request: StartRequest) -> Outcome:
        number = request.point.number if request.point else 0
        try:
            outcome = await self._admit(request)
        finally:
            self._starting.discard(number)
        if not outcome.succeeded:
            await self._refusals.note(request.id_tag, outcome, [number])
        return outcome

    # --- admitting

    async def _admit(self, request: StartRequest) -> Outcome:
        point = request.point
        if point is None:
            return rejected(Refusal.NO_CONNECTOR_FREE)
        parent, reason = "", "remote_start"
        if request.authorize:
            judgement = await self._authorizer.judge(request.id_tag, is_at_reader=request.origin == "reader")
            if judgement.list_conflict:
                self._authorizer.report_list_conflict()
            decision = judgement.decision
            if decision.verdict is not Verdict.ACCEPTED:
                return rejected(Refusal.TAG_REFUSED, because=decision.reason.value)
            parent, reason = decision.parent_id_tag or "", decision.reason.value
        else:
            parent = await self._authorizer.known_parent(request.id_tag)
        may_know_more = not parent and reason != Reason.BACKEND_ACCEPTED
        if may_know_more and self._choice.needs_group(request.among or [point], request.id_tag):
            parent = await self._authorizer.group_of(request.id_tag)
        # While the backend thought, the driver may have plugged in, or somebody else may have come.
        if request.among:
            chosen = self._choice.choose(request.among, request.id_tag, parent)
            if isinstance(chosen, Refusal):
                return rejected(chosen)
            point = chosen
        problem = self._problem_at(point, request, parent)
        if problem is not None:
            return rejected(problem, connector_id=point.number)
        permission = Permission(
            id_tag=request.id_tag,
            origin=request.origin,
            reason=reason,
            parent_id_tag=parent,
            profile=request.profile,
            may_follow_car=request.origin == "reader" and len(request.among) > 1,
        )
        if not await point.handle(machine.TagAuthorized(permission=permission)):
            return rejected(Refusal.CONNECTOR_OCCUPIED)
        if not point.busy:
            # The session was turned back before energy flowed.
            return rejected(point.turned_back or Refusal.RECORDS_UNWRITABLE)
        return Outcome(status=Status.ACCEPTED, data={"connector_id": point.number})

    def _problem_at(self, point: ChargingPoint, request: StartRequest, parent: str) -> Refusal | None:
        problem = self._choice.refusal_at(point)
        if problem is not None:
            return problem
        if self._choice.reserved_for_other(point, request.id_tag, parent) is not None:
            return Refusal.CONNECTOR_RESERVED
        # A car that needs no card may have left, or somebody has charged it with a card and ended that.
        has_its_car = request.origin != "plug" or self._free_charging.waits(point)
        return None if has_its_car else Refusal.CONNECTOR_OCCUPIED

    # --- cars

    async def load(self) -> None:
        """Read what a restart has to know of the cars that stand here; before the phases are written anew."""
        await self._free_charging.load()

    def look_at_cars(self) -> None:
        """See whether a car that needs no card, and could not begin, may begin now."""
        for point in self._points.values():
            if point.number not in self._arriving:
                self._free_charging.look(point)

    def point_changed(self, number: int) -> None:
        """See whether a car has arrived, or may begin now."""
        point = self._points[number]
        phase = point.state.phase
        is_new = phase in {Phase.PLUGGED, Phase.RESERVED} and self._phases.get(number) is not phase
        self._phases[number] = phase
        if number in self._arriving:
            return
        if is_new:
            self._arriving.add(number)
            self._tasks.spawn(self._car_arrived(point))
        else:
            self._free_charging.look(point)

    async def _car_arrived(self, point: ChargingPoint) -> None:
        """A car was plugged in: it may belong to a card that waits at another point, or need no card at all."""
        try:
            await self._follow_car(point)
        finally:
            self._arriving.discard(point.number)
        self._free_charging.look(point)

    async def _follow_car(self, point: ChargingPoint) -> None:
        for other in self._points.values() if self._choice.refusal_at(point) is None else ():
            permission = other.state.permission
            if other is point or other.state.phase is not Phase.AUTHORIZED or permission is None:
                continue
            is_free_for_it = self._choice.reserved_for_other(point, permission.id_tag, "") is None
            if permission.may_follow_car and is_free_for_it:
                await other.handle(machine.StopRequested(reason="Local"))
                await point.handle(machine.TagAuthorized(permission=permission))
                return

    async def _admit_without_card(self, point: ChargingPoint, id_tag: str) -> Outcome:
        return await self._admit(StartRequest(id_tag=id_tag, origin="plug", point=point))

    def button_pressed(self, point: ChargingPoint) -> None:
        """Take a press of the stop button."""
        self._tasks.spawn(self._stop_by_button(point))

    async def _stop_by_button(self, point: ChargingPoint) -> None:
        """End a session; in plug and charge only where the owner allows it."""
        if point.session is None:
            return
        free = point.session.origin == "plug"
        if free and not await self._records.execute(configuration.get_bool, "/hw/auth/device/Dummy/allowStop"):
            return
        await point.handle(machine.StopRequested(reason="Local"))


async def _signal(reader: TagReader | None, what: ReaderSignal) -> None:
    """Light and beep, where there is a reader that can."""
    if reader is not None:
        with suppress(DeviceFailed):
            await reader.signal(what)
