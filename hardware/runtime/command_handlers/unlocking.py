"""Unlocking a plug by command."""

import asyncio
from collections.abc import Mapping

from hardware.runtime.command_handlers.handler import Handler
from hardware.runtime.point import ChargingPoint
from station import clock
from station.domain import connector as machine
from station.domain.commands import Command, Outcome, Refusal, Status, UnlockConnector
from station.domain.faults import FaultCode

# A car ends its current within 3 s (IEC 61851-1 table A.6); the backend waits for the answer meanwhile.
ANSWER_WAITS_S = 3.0
# Shorter than whoever asks waits for an answer.
LONGEST_ANSWER_S = 3.8
# How long the answer waits for the bolt.
UNLOCKING_TAKES_S = 3.0
# Time after which a board has noticed that the bolt of its lock does not move.
LOCK_IS_JUDGED_S = 0.6


class UnlockHandlers:
    """Unlocks, and finds out whether the bolt has followed."""

    def __init__(self, points: Mapping[int, ChargingPoint]) -> None:
        self._points = points
        self.handlers: dict[type[Command], Handler] = {UnlockConnector: self._unlock}

    async def _unlock(self, command: UnlockConnector, _origin: str) -> Outcome:
        point = self._points.get(command.connector_id)
        if point is None:
            return Outcome(status=Status.NOT_SUPPORTED, reason=Refusal.CONNECTOR_UNKNOWN)
        if not point.actuator.has_lock:
            return Outcome(status=Status.NOT_SUPPORTED, reason=Refusal.NO_LOCK)
        was_locked = point.status is None or point.status.locked is not False
        asked_s = clock.monotonic_s()
        if point.state.has_session:
            # The plug is let go when the current has ended.
            await point.handle(machine.StopRequested(reason="UnlockCommand"))
            if not await point.until_session_is_over(ANSWER_WAITS_S):
                return Outcome(status=Status.UNLOCK_FAILED, reason=Refusal.LOCK_STUCK)
        await point.unlock()
        unlocked_s = clock.monotonic_s()
        # A board tells at once what its lock was commanded, and only later that the bolt did not follow.
        judged_s = clock.monotonic_s() + (LOCK_IS_JUDGED_S if was_locked else 0.0)
        deadline_s = min(unlocked_s + UNLOCKING_TAKES_S, asked_s + LONGEST_ANSWER_S)
        point.poll_faster(UNLOCKING_TAKES_S)
        while clock.monotonic_s() < deadline_s:
            status = point.status
            if status is not None and status.read_at_s > unlocked_s:
                if FaultCode.CONNECTOR_LOCK_FAILURE in status.faults:
                    break
                if status.locked is False and status.read_at_s >= judged_s:
                    return Outcome(status=Status.UNLOCKED)
            await asyncio.sleep(0.05)
        return Outcome(status=Status.UNLOCK_FAILED, reason=Refusal.LOCK_STUCK)
