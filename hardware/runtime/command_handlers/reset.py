"""Restarting the software, or the computer and the controllers, by command."""

import asyncio
import logging
from collections.abc import Mapping

from hardware.runtime.command_handlers.handler import ACCEPTED, Handler
from hardware.runtime.device_events import DeviceEvents
from hardware.runtime.point import ChargingPoint
from hardware.runtime.records import RecordStore
from hardware.runtime.session_end import CURRENT_ENDS_S
from hardware.runtime.state import StationState
from station import clock
from station.concurrency import BackgroundTasks
from station.domain import connector as machine
from station.domain.commands import Command, Outcome, Reset
from station.domain.faults import FaultCode
from station.host import PowerPort
from station.services import configuration, event_log, outbox, security_log

logger = logging.getLogger(__name__)

# A session that takes longer to end is brought to its end after the restart.
SESSION_ENDS_S = CURRENT_ENDS_S + 2.0
# How long a restart waits for the backend to confirm the last messages; the queue survives in any case.
FLUSH_S = 8.0
# A restart begins only after the answer to whoever asked has had time to leave.
ANSWER_LEAVES_S = 0.5
# Between two attempts at a restart (ResetRetries).
RESET_AGAIN_S = 5.0


class ResetHandlers:
    """Ends sessions where that is asked for, then restarts."""

    def __init__(
        self,
        points: Mapping[int, ChargingPoint],
        state: StationState,
        records: RecordStore,
        *,
        device_events: DeviceEvents,
        power: PowerPort,
    ) -> None:
        self._points = points
        self._state = state
        self._records = records
        self._device_events = device_events
        self._power = power
        self._tasks = BackgroundTasks(logger)
        self.handlers: dict[type[Command], Handler] = {Reset: self._reset}

    async def _reset(self, command: Reset, origin: str) -> Outcome:
        self._tasks.spawn(self._carry_out(command, origin))
        return ACCEPTED

    async def _carry_out(self, command: Reset, origin: str) -> None:
        await asyncio.sleep(ANSWER_LEAVES_S)
        if command.stop_sessions:
            stop = machine.StopRequested(reason=command.reason)
            await asyncio.gather(*(point.handle(stop) for point in self._points.values() if point.busy))
            await asyncio.gather(*(point.until_session_is_over(SESSION_ENDS_S) for point in self._points.values()))
            await self._until_delivered()
        await self._restart(hard=command.hard, origin=origin)

    async def _until_delivered(self) -> None:
        """Wait until the backend has confirmed everything, but not for ever."""
        deadline_s = clock.monotonic_s() + FLUSH_S
        while clock.monotonic_s() < deadline_s and await self._records.execute(outbox.owed) > 0:
            await asyncio.sleep(0.1)

    async def _restart(self, *, hard: bool, origin: str) -> None:
        await self._records.attempt(event_log.log, "station.restart", at=clock.now(), hard=hard, origin=origin)
        tech_info = f"asked by {origin}"
        await self._records.attempt(security_log.record, "ResetOrReboot", at=clock.now(), tech_info=tech_info)
        for point in self._points.values():
            await self._device_events.note_register(point)
        retries = await self._records.attempt(configuration.get_int, "ResetRetries") or 0
        for attempt in range(retries + 1):
            if attempt:
                await asyncio.sleep(RESET_AGAIN_S)
            try:
                # The computer's services may take seconds to answer.
                await asyncio.to_thread(self._power.reboot if hard else self._power.restart_software)
            except (OSError, RuntimeError) as error:
                logger.exception("the restart failed")
                reason = str(error)[:200]
                await self._records.attempt(event_log.log, "station.restart.failed", at=clock.now(), error=reason)
            else:
                self._state.set_faults("reset", frozenset())
                return
        self._state.set_faults("reset", frozenset({FaultCode.RESET_FAILURE}))
