"""Free charging: a car that stands connected begins as soon as nothing keeps it from doing so."""

import logging
from collections.abc import Awaitable, Callable, Mapping

from django.db import DatabaseError

from hardware.runtime.point import ChargingPoint
from hardware.runtime.point_choice import PointChoice
from hardware.runtime.records import RecordStore
from hardware.runtime.refusals import Refusals
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.commands import Outcome, Refusal, rejected
from station.domain.free_charging import PlugIn, waits_for_session
from station.services import configuration, connectors

logger = logging.getLogger(__name__)

ENABLED = "/hw/auth/device/Dummy/enabled"
ID_TAG = "/hw/auth/device/Dummy/id/value"


class FreeCharging:
    """Looks at a point when it changes and once a second. A look costs nothing while something is in the way."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        records: RecordStore,
        *,
        choice: PointChoice,
        refusals: Refusals,
        admit: Callable[[ChargingPoint, str], Awaitable[Outcome]],
    ) -> None:
        self._points = points
        self._records = records
        self._choice = choice
        self._refusals = refusals
        self._admit = admit
        self._plug_ins: dict[int, PlugIn] = {}
        self._trying: set[int] = set()
        self._tasks = BackgroundTasks(logger)

    async def load(self) -> None:
        """Read at which points the car has had its session before a restart; before the phases are written anew."""
        if not await self._records.attempt(configuration.get_bool, ENABLED):
            return
        # Otherwise a car that stands here would begin before anybody knows that the disk is full.
        await self._records.probe()
        now = clock.stamp()
        for number, point in self._points.items():
            if await self._records.attempt(connectors.session_ended_for_good, number, now):
                point.remember_served_car()

    def waits(self, point: ChargingPoint) -> bool:
        """Return whether a car stands here that free charging may give a session."""
        last = point.last_session.reason if point.last_session else ""
        return point.session is None and waits_for_session(point.state, last)

    def look(self, point: ChargingPoint) -> None:
        """Begin soon if a car waits here that may."""
        number = point.number
        if not point.state.car or point.session is not None:
            self._plug_ins.pop(number, None)
            return
        if number in self._trying or not self.waits(point):
            return
        known = self._plug_ins.get(number)
        # The first attempt explains why nothing begins.
        is_due = known is None or (known.may_try(clock.monotonic_s()) and self._choice.refusal_at(point) is None)
        if is_due:
            self._trying.add(number)
            self._tasks.spawn(self._try(point, known or PlugIn()))

    async def _try(self, point: ChargingPoint, plug_in: PlugIn) -> None:
        number = point.number
        # An attempt that fails in an unexpected way is not repeated at once, either.
        tried = self._plug_ins[number] = plug_in.tried(clock.monotonic_s())
        try:
            after = await self._begin(point, plug_in, tried)
        finally:
            self._trying.discard(number)
        # The car may have left meanwhile, and another one come.
        if self._plug_ins.get(number) is tried:
            self._plug_ins[number] = after

    async def _begin(self, point: ChargingPoint, plug_in: PlugIn, tried: PlugIn) -> PlugIn:
        """Make one attempt; return what is known of the car after it."""
        id_tag, obstacle = "", None
        try:
            if not await self._records.execute(configuration.get_bool, ENABLED):
                return PlugIn(is_over=True)
            id_tag = await self._records.execute(configuration.get, ID_TAG)
            obstacle = self._obstacle(point, id_tag)
            outcome = rejected(obstacle) if obstacle is not None else await self._admit(point, id_tag)
        except (DatabaseError, OSError) as error:
            self._records.report_failure(error)
            outcome = rejected(Refusal.RECORDS_UNWRITABLE)
        if outcome.succeeded or not self.waits(point):
            # A card may have begun meanwhile, or the car has left: nobody is refused anything.
            return tried
        if plug_in.is_news(outcome):
            await self._refusals.note(id_tag, outcome, [point.number])
        return tried.refused(outcome) if obstacle is None else plug_in.hindered(outcome, clock.monotonic_s())

    def _obstacle(self, point: ChargingPoint, id_tag: str) -> Refusal | None:
        """Return what keeps the point from beginning, as far as nobody has to be asked."""
        refusal = self._choice.refusal_at(point)
        if refusal is not None:
            return refusal
        reserved = self._choice.reserved_for_other(point, id_tag, "")
        return Refusal.CONNECTOR_RESERVED if reserved is not None and not reserved.ask_parent else None
