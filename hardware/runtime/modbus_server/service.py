"""Opens and closes the Modbus server as the settings say, at once; nothing of it is loaded while it is off."""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from hardware.runtime.energy_manager import EnergyManager
from hardware.runtime.limits import LimitLoop
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.snapshot_publisher import SnapshotPublisher
from station.concurrency import wait_or_timeout
from station.host import versions

if TYPE_CHECKING:
    from hardware.runtime.modbus_server.listener import Listener

logger = logging.getLogger(__name__)

# A port that somebody else holds is tried again; the trail of set-points is looked at as often.
LOOK_S = 2.0


class Started(Protocol):
    """What the server waits for before it answers."""

    async def until_recovered(self) -> None:
        """Wait until the past is settled."""


class ModbusService:
    """Runs the server while it is switched on."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: Started,
        records: RecordStore,
        *,
        energy_manager: EnergyManager,
        limits: LimitLoop,
        snapshots: SnapshotPublisher,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._energy_manager = energy_manager
        self._limits = limits
        self._snapshots = snapshots
        self._serving: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._ports: tuple[int, ...] = ()

    async def run(self) -> None:
        """Follow the settings for ever."""
        await self._state.until_recovered()
        try:
            while True:
                self._energy_manager.is_changed.clear()
                await self._follow()
                await self._energy_manager.keep_trail()
                await self._energy_manager.tell_silence()
                is_idle = not self._energy_manager.settings.limits.enabled
                await wait_or_timeout(self._energy_manager.is_changed, None if is_idle else LOOK_S)
        finally:
            await self._close()

    async def _follow(self) -> None:
        settings = self._energy_manager.settings
        wanted = settings.ports if settings.limits.enabled else ()
        if self._serving is not None and self._serving.done():
            await self._close()
        if wanted == self._ports and self._serving is not None and self._listener is not None:
            # Who was connected before the access list became another one would keep control without end.
            self._listener.close_unlisted()
            return
        await self._close()
        if wanted:
            self._open(wanted)
        elif self._energy_manager.problem is not None:
            self._energy_manager.problem = None
            self._snapshots.station_changed()

    def _open(self, ports: tuple[int, ...]) -> None:
        from hardware.runtime.modbus_server.handler import RequestHandler
        from hardware.runtime.modbus_server.listener import Listener, listen

        before = self._energy_manager.problem
        try:
            sockets = listen(ports)
        except OSError as problem:
            self._energy_manager.problem = (int(problem.filename), problem.strerror or str(problem))
            if self._energy_manager.problem != before:
                logger.warning("the Modbus server cannot listen at port %s: %s", problem.filename, problem.strerror)
                self._snapshots.station_changed()
            return
        handler = RequestHandler(
            self._energy_manager,
            self._records,
            snapshots=self._snapshots,
            limits=self._limits,
            numbers=tuple(self._points),
            firmware=versions.os_version(),
        )
        self._listener = Listener(self._energy_manager, handler, changed=self._snapshots.station_changed)
        self._serving = asyncio.create_task(self._listener.serve(sockets))
        self._ports, self._energy_manager.ports, self._energy_manager.problem = ports, ports, None
        logger.info("the Modbus server listens at port %s", ", ".join(map(str, ports)))
        self._snapshots.station_changed()

    async def _close(self) -> None:
        serving, self._serving, self._listener, self._ports = self._serving, None, None, ()
        if serving is None:
            return
        serving.cancel()
        # Not `await serving`: its cancellation could not be told from ours.
        await asyncio.wait({serving})
        if not serving.cancelled() and (error := serving.exception()) is not None:
            # The charging points are controlled on without it, and it is opened anew.
            logger.error("the Modbus server has ended", exc_info=error)
        self._energy_manager.ports, self._energy_manager.clients = (), {}
        self._snapshots.station_changed()
