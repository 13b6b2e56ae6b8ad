"""Safe mode: what runs instead of a control loop that keeps crashing: energy off, plugs let go, and the reason told."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import DatabaseError
from redis.exceptions import RedisError

from hardware.runtime.database import DatabaseThread
from hardware.runtime.energy_off import WITHDRAW_S, withdraw_energy
from hardware.runtime.kept_off import KeptOff
from hardware.runtime.snapshot_publisher import IDLE_REFRESH_S
from hardware.runtime.wake_ups import WakeUps
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.commands import Outcome, Refusal, Reset, Status, rejected
from station.domain.crash_guard import CrashCause, CrashHistory
from station.domain.faults import CATALOGUE, FaultCode
from station.domain.snapshot import HardwareSnapshot, PointSnapshot
from station.domain.units import PAUSE
from station.host import PowerPort
from station.services import connectors, event_log, live
from station.services.commands import REPLY_LIFE_S, Envelope
from station.services.connectors import StatusRecord
from station.services.messages import MessageToControlLoop

logger = logging.getLogger(__name__)

# A board that has restarted since, or did not answer, is told again so soon.
KEEP_OFF_S = LOOK_S = 1.0
WRITE_AGAIN_S = 5.0
# As long as the answer to a command needs to leave.
_ANSWER_LEAVES_S = 0.5
# What the backend is told, in the 50 characters of StatusNotification.
INFO = "Safe mode: control keeps crashing, energy is off"
REASON = "safe_mode"
FAULT = CATALOGUE[FaultCode.INTERNAL_ERROR]


class SafeMode:
    """Stands in for the control loop until it may try again, or somebody restarts the station.

    Sessions stay open in the books; the next control loop resumes or closes them.
    """

    # A database that hangs may be what the control loop died of; energy is kept off without it.
    database = None

    def __init__(
        self,
        points: Iterable[KeptOff],
        history: CrashHistory,
        *,
        connectors: int,
        power: PowerPort,
        redis: Any,
        is_mended: Callable[[], bool],
    ) -> None:
        self.points = {point.number: point for point in points}
        self._connectors = connectors
        self._cause = history.cause or CrashCause.KILLED
        self._until_s = history.safe_until_s or 0.0
        self._power = power
        self._redis = redis
        self._is_mended = is_mended
        self._records = DatabaseThread()
        self._wake_ups = WakeUps()
        self._tasks = BackgroundTasks(logger)
        self._began_at = clock.now()

    async def run(self) -> None:
        """Keep energy off until the control loop may try again: its time has come, or the cause is mended."""
        logger.error("safe mode: the control loop has crashed too often (%s)", self._cause.value)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_off(point)) for point in self.points.values()]
            tasks += [group.create_task(self._tell()), group.create_task(self._publish())]
            while clock.monotonic_s() < self._until_s and not self._is_mended():
                await asyncio.sleep(LOOK_S)
            for task in tasks:
                task.cancel()

    async def stop(self, *, comes_back: bool) -> None:
        """End; whatever follows, energy is off."""
        actuators = {number: point.actuator for number, point in self.points.items()}
        await withdraw_energy(actuators, until_s=clock.monotonic_s() + WITHDRAW_S)

    async def command(self, envelope: Envelope) -> None:
        """Refuse a command, unless it asks for a restart: that is the way out by hand."""
        is_reset = isinstance(envelope.command, Reset)
        outcome = Outcome(status=Status.ACCEPTED) if is_reset else rejected(Refusal.SAFE_MODE)
        with contextlib.suppress(RedisError, OSError):
            await self._redis.rpush(envelope.reply_key, json.dumps(outcome.encode()))
            await self._redis.expire(envelope.reply_key, REPLY_LIFE_S)
        if isinstance(envelope.command, Reset):
            self._tasks.spawn(self._restart(hard=envelope.command.hard))
        with contextlib.suppress(DatabaseError, OSError):
            await self._records(event_log.audit, envelope, outcome)

    async def informed(self, message: MessageToControlLoop) -> None:
        """Take a message of another process: nothing depends on any."""

    async def _restart(self, *, hard: bool) -> None:
        await asyncio.sleep(_ANSWER_LEAVES_S)
        try:
            await asyncio.to_thread(self._power.reboot if hard else self._power.restart_software)
        except (OSError, RuntimeError):
            logger.exception("the restart failed")

    async def _keep_off(self, point: KeptOff) -> None:
        while True:
            await point.step()
            await asyncio.sleep(KEEP_OFF_S)

    # --- what is told

    async def _tell(self) -> None:
        """Write down and tell the backend that every connector is faulted, as soon as records can be written."""
        for number in range(self._connectors + 1):
            while True:
                try:
                    record, revision = await self._records(_store, number, clock.now())
                    break
                except (DatabaseError, OSError) as error:
                    logger.warning("the status of connector %d could not be written: %s", number, error)
                    await asyncio.sleep(WRITE_AGAIN_S)
            await self._wake_ups.status_changed(record, revision)
        with contextlib.suppress(DatabaseError, OSError):
            await self._records(event_log.log, "station.safe_mode", at=clock.now(), cause=self._cause.value)

    async def _publish(self) -> None:
        revision = 0
        while True:
            revision += 1
            await live.publish_async(self._redis, self.take(revision))
            await asyncio.sleep(IDLE_REFRESH_S)

    def take(self, revision: int) -> HardwareSnapshot:
        """Return the present as the pages see it."""
        points = [
            PointSnapshot(
                number=number,
                status="Faulted",
                phase_since=self._began_at,
                error_code=FAULT.ocpp_error_code,
                faults=(FAULT.code.value,),
            )
            for number in range(1, self._connectors + 1)
        ]
        return HardwareSnapshot(
            revision=revision,
            at=clock.now(),
            not_ready=(REASON, self._cause.value),
            status="Faulted",
            faults=(),
            mains_ma=PAUSE,
            reader_ok=True,
            points=tuple(points),
        )


def _store(number: int, at: datetime) -> tuple[StatusRecord, int]:
    """Fault a connector, whose session and phase the next control loop finds as they are."""
    row = connectors.connector(number)
    record = StatusRecord(
        number=number,
        phase=row.phase,
        phase_since=row.phase_since or at,
        status="Faulted",
        error_code=FAULT.ocpp_error_code,
        info=INFO,
        vendor_error_code="",
        faults=(FAULT.code.value,),
        at=at,
    )
    # The control loop before may have told changes it could not write.
    return record, connectors.store_status(record, step=connectors.REVISIONS_KEPT_FREE)
