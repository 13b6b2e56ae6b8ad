"""The current limits of all charging points, computed again and again and made real."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from hardware.runtime.leased_limits import LeasedLimits
from hardware.runtime.limit_book import Framework, GridOperator, LimitBook, PointLimit, read_framework
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from station import clock
from station.concurrency import wait_or_timeout
from station.domain.charging_profiles import (
    Installed,
)
from station.domain.connector import Phase
from station.domain.faults import FaultCode
from station.domain.limits import EffectiveLimit, LimitSource
from station.domain.units import MilliAmpere
from station.host import ClockPort
from station.services import charging_profiles

logger = logging.getLogger(__name__)

FAULT_SOURCE = "limits"
# In these a car takes energy, or would if it got any.
_WANTING = frozenset({Phase.STARTING, Phase.CHARGING, Phase.SUSPENDED_EVSE, Phase.RESUMING})


class StationFaults(Protocol):
    """The state of the station as far as limits depend on it."""

    @property
    def blocked(self) -> bool:
        """Whether a fault puts the whole station out of order."""

    @property
    def recovered(self) -> bool:
        """Whether hardware may be commanded."""

    def set_dimmed_with_others(self, *, is_dimmed: bool) -> None:
        """Take whether the grid operator leaves this station less because it dims the cluster."""


class LimitLoop:
    """Keeps the limits of all points computed and applied.

    There is one computation, of all points together, and one write at a time for each point. A write takes the limit
    of the newest computation, so that a raise decided earlier never overtakes a reduction.
    """

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationFaults,
        records: RecordStore,
        *,
        leased: LeasedLimits,
        dimming: GridOperator,
        cluster: LeasedLimits,
        wall_clock: ClockPort,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._wall_clock = wall_clock
        self._book = LimitBook(leased, dimming, cluster)
        self._present: dict[int, PointLimit] = {}
        self._writing: dict[int, asyncio.Lock] = {}
        self._catching_up: set[int] = set()
        # None: whether there are any has not been looked at since the start.
        self._unreadable: tuple[Installed, ...] | None = None
        self._due = asyncio.Event()

    # --- what others ask

    @property
    def present(self) -> Mapping[int, PointLimit]:
        """The limits of the newest computation."""
        return self._present

    @property
    def framework(self) -> Framework:
        """Mains, rating and charging profiles in force."""
        return self._book.framework

    def limit_of(self, number: int) -> EffectiveLimit:
        """Compute all limits anew and return this point's; the others follow with the next round."""
        self._compute()
        self._due.set()
        return self._present[number].effective

    @property
    def time_is_known(self) -> bool:
        """Whether profiles that depend on the time could be followed at the newest computation."""
        return self._book.time_is_known

    def requests(self) -> Mapping[int, MilliAmpere]:
        """Return what the station could give each point if there were no cluster."""
        return self._book.requests(
            self._points.values(), clock.now(), clock.monotonic_s(), station_blocked=self._state.blocked
        )

    # --- what others tell

    def leases_changed(self) -> None:
        """Compute at once, and make it real soon: a raise that was decided before must not be written any more."""
        self._compute()
        self._due.set()

    def point_changed(self, _number: int) -> None:
        """Compute soon: sessions and faults change limits."""
        self._due.set()

    def station_changed(self) -> None:
        """Compute soon: a fault of the station forbids energy."""
        self._due.set()

    async def load(self) -> None:
        """Read what limits depend on outside the points; raises DatabaseError."""
        await self._take(await self._records.execute(read_framework))

    async def reload(self) -> None:
        """Read it anew; what cannot be read leaves what is known."""
        framework = await self._records.attempt(read_framework)
        if framework is not None:
            await self._take(framework)

    async def _take(self, framework: Framework) -> None:
        self._book.framework = framework
        unreadable = tuple(each for each in framework.profiles if each.problem)
        if unreadable != self._unreadable:
            self._unreadable = unreadable
            await self._records.attempt(charging_profiles.note_unreadable, unreadable, clock.now())

    def assume_present_draw(self) -> None:
        """Begin with what the boards may be drawing since before a restart."""
        self._book.assume(self._points.values(), clock.monotonic_s())

    # --- the loop

    async def run(self) -> None:
        """Compute and apply for ever; what cannot be applied for a reason nobody expects ends it."""
        async with asyncio.TaskGroup() as writers:
            while True:
                self._due.clear()
                if self._state.recovered:
                    self._compute()
                    # A board that takes its time holds up neither the others nor the next computation.
                    for point in self._reduced_first():
                        if point.number not in self._catching_up:
                            self._catching_up.add(point.number)
                            writers.create_task(self._catch_up(point))
                wait_s = self._book.next_due_s(self._points.values(), clock.now(), clock.monotonic_s())
                await wait_or_timeout(self._due, max(wait_s, 0.01))

    async def apply(self) -> None:
        """Compute all limits and make them real."""
        self._compute()
        # A raise is computed only when the reductions it needs have been confirmed, so no point waits for another.
        await asyncio.gather(*(self._write(point) for point in self._reduced_first()))

    def _reduced_first(self) -> list[ChargingPoint]:
        return sorted(self._points.values(), key=lambda point: not self._is_reduced(point))

    async def _catch_up(self, point: ChargingPoint) -> None:
        """Write until what was computed last is real; a computation meanwhile is taken, too."""
        try:
            await self._write(point)
            while point.effective != self._present[point.number].effective:
                await self._write(point)
        finally:
            self._catching_up.discard(point.number)

    def _compute(self) -> None:
        points = self._points.values()
        self._book.time_is_known = self._wall_clock.has_been_right()
        try:
            self._present = self._book.compute(
                points, clock.now(), clock.monotonic_s(), station_blocked=self._state.blocked
            )
        except Exception as failure:  # noqa: BLE001 - what binds all points cannot be computed: none is given energy
            self._present = {point.number: PointLimit.not_computed(failure) for point in points}
        self._state.set_dimmed_with_others(
            is_dimmed=self._book.is_dimmed_with_others(self._present, clock.monotonic_s())
        )
        for point in points:
            self._report(point, self._present[point.number].failure)
            if point.session is not None:
                point.session.note_limit(self._limiting(point), clock.monotonic_s())

    def _limiting(self, point: ChargingPoint) -> LimitSource | None:
        """Return what keeps a car that wants energy below the rated current of its point; None: nothing."""
        found = self._present[point.number].effective
        return found.source if found.limit < self.framework.rating and point.state.phase in _WANTING else None

    def _report(self, point: ChargingPoint, failure: Exception | None) -> None:
        """Put a point out of order whose limit cannot be computed, for as long as that lasts; tell it once."""
        if point.set_faults(FAULT_SOURCE, frozenset({FaultCode.INTERNAL_ERROR} if failure else ())):
            if failure is not None:
                logger.error("the limit of point %d cannot be computed", point.number, exc_info=failure)
            point.tell_changed()

    def _is_reduced(self, point: ChargingPoint) -> bool:
        return point.effective is not None and self._present[point.number].effective.limit < point.effective.limit

    async def _write(self, point: ChargingPoint) -> None:
        async with self._writing.setdefault(point.number, asyncio.Lock()):
            await point.apply_limit(self._present[point.number].effective)
