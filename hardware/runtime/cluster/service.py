"""Speaks with the cluster as the settings say, at once; nothing of that is loaded while it is switched off."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from typing import Protocol

from django.conf import settings as django_settings

from hardware.runtime.cluster_shares import STARTING, ClusterSettings, ClusterShares
from hardware.runtime.limit_book import GridOperator
from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.snapshot_publisher import SnapshotPublisher
from station.concurrency import wait_or_timeout
from station.domain.snapshot import ClusterSnapshot

logger = logging.getLogger(__name__)

# A part that has ended is begun anew, and the event log is looked at, so often.
LOOK_S = 2.0
# The supervisor waits 3 s for an orderly end, of which the boards may take half.
GOODBYE_S = 0.8


class Started(Protocol):
    """What the cluster waits for."""

    async def until_recovered(self) -> None:
        """Wait until the past is settled."""


class Part(Protocol):
    """The master's or the slave's side."""

    async def run(self) -> None:
        """Speak with the others for ever."""

    def demand_changed(self) -> None:
        """Speak soon: sessions and limits have changed."""

    async def say_goodbye(self) -> None:
        """Tell that the boards are off and nothing is asked for any more."""


class ClusterService:
    """Runs the side of the cluster that the station is on while the cluster is switched on."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: Started,
        records: RecordStore,
        *,
        shares: ClusterShares,
        limits: LimitLoop,
        snapshots: SnapshotPublisher,
        grid_operator: GridOperator,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._shares = shares
        self._limits = limits
        self._snapshots = snapshots
        self._grid_operator = grid_operator
        self._part: Part | None = None
        self._serving: asyncio.Task[None] | None = None
        self._served: tuple[object, ...] = ()

    def point_changed(self, _number: int) -> None:
        """Tell the others soon: sessions and limits have changed."""
        if self._part is not None:
            self._part.demand_changed()

    async def run(self) -> None:
        """Follow the settings for ever.

        The part that speaks with the others outlives this: boards are switched off first, and then it ends.
        """
        await self._state.until_recovered()
        while True:
            self._shares.is_changed.clear()
            await self._follow()
            await self._shares.tell_silence()
            is_idle = not self._shares.settings.enabled
            await wait_or_timeout(self._shares.is_changed, None if is_idle else LOOK_S)

    async def stop(self, *, comes_back: bool) -> None:
        """End; unless another control loop follows at once, tell the master that the boards are off."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                if self._part is not None and not comes_back:
                    await self._part.say_goodbye()
                await self._end()

    async def _follow(self) -> None:
        settings = self._shares.settings
        if settings.enabled and settings.leads and not settings.key:
            # The one who leads makes the secret the others are given; it is in force with the next reading.
            from hardware.runtime.cluster.place import ensure_key

            await self._records.attempt(ensure_key)
            await self._shares.reload()
            settings = self._shares.settings
        if self._serving is not None and not self._serving.done() and self._served == _essentials(settings):
            return
        await self._end()
        self._part, self._served = None, _essentials(settings)
        if not (settings.enabled and settings.leads):
            await self._records.attempt(_forget_other_master)
        if not settings.enabled:
            self._show(ClusterSnapshot(enabled=False))
        elif not settings.key:
            # A master whose code could not be written down does not lead either: everybody knows the empty one.
            self._show(ClusterSnapshot(enabled=True, state="no_key"))
        elif settings.limit is None and settings.leads:
            self._show(ClusterSnapshot(enabled=True, state="no_limit"))
        else:
            # What was shown of the others is of the past.
            self._show(STARTING)
            # Hundreds of modules on a slow computer: the charging points are controlled meanwhile.
            await asyncio.to_thread(_load)
            self._part = self._begin(settings)
            self._serving = asyncio.create_task(self._part.run())

    def _begin(self, settings: ClusterSettings) -> Part:
        from hardware.runtime.cluster.demand import Demands
        from hardware.runtime.cluster.leader_loop import LeaderLoop
        from hardware.runtime.cluster.member_loop import MemberLoop

        demands = Demands(self._points, self._limits)
        if settings.leads:
            return LeaderLoop(
                settings,
                self._records,
                shares=self._shares,
                demands=demands,
                limits=self._limits,
                snapshots=self._snapshots,
                grid_operator=self._grid_operator,
            )
        return MemberLoop(
            settings,
            self._records,
            shares=self._shares,
            demands=demands,
            limits=self._limits,
            snapshots=self._snapshots,
        )

    def _show(self, present: ClusterSnapshot) -> None:
        if self._shares.present != present:
            self._shares.present = present
            self._snapshots.station_changed()

    async def _end(self) -> None:
        serving, self._serving = self._serving, None
        if serving is None:
            return
        serving.cancel()
        # Not `await serving`: its cancellation could not be told from ours.
        await asyncio.wait({serving})
        if not serving.cancelled() and (error := serving.exception()) is not None:
            # The charging points stand at the fallback meanwhile, and it is begun anew.
            logger.error("the station's part in the cluster has ended", exc_info=error)


def _forget_other_master() -> None:
    """Let this station lead when it is set to Master the next time: somebody has taken the role from it."""
    with suppress(OSError):
        django_settings.DATA.cluster_other_master.unlink(missing_ok=True)


def _load() -> None:
    for name in ("demand", "leader_loop", "member_loop"):
        import_module(f"hardware.runtime.cluster.{name}")


def _essentials(settings: ClusterSettings) -> tuple[object, ...]:
    """Return what only a new beginning can follow: another limit is taken as it comes, if there is one.

    A slave registers anew with another fallback; a master's own is judged when it is set.
    """
    as_they_come = {"limit", "rotate_after_s"} | ({"fallback"} if settings.leads else set())
    return *(value for name, value in vars(settings).items() if name not in as_they_come), settings.limit is None
