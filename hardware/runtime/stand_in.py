"""What runs instead of a control loop that cannot run: energy off, plugs let go, and the reason told."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
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
from station.domain.faults import CATALOGUE, FaultCode
from station.domain.snapshot import DescriptionMistake, HardwareSnapshot, PointSnapshot
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
FAULT = CATALOGUE[FaultCode.INTERNAL_ERROR]


@dataclass(frozen=True, kw_only=True)
class WhyNone:
    """Why there is no control loop.

    `codes` and `mistakes` are for the pages (`words.NOT_READY` has a sentence for each code), `info` is what the
    backend is told, in the 50 characters of StatusNotification, `event` and `data` the entry of the log, `refusal` the
    answer to commands.
    """

    codes: tuple[str, ...]
    info: str
    event: str
    data: Mapping[str, Any]
    refusal: Refusal
    mistakes: tuple[DescriptionMistake, ...] = ()


class StandIn:
    """Stands in for the control loop until `is_over`, or until somebody restarts the station.

    Sessions stay open in the books; the next control loop resumes or closes them.
    """

    # A database that hangs may be what the control loop died of; energy is kept off without it.
    database = None

    def __init__(
        self,
        points: Iterable[KeptOff],
        why: WhyNone,
        *,
        connectors: int,
        power: PowerPort,
        redis: Any,
        is_over: Callable[[], bool],
    ) -> None:
        self.points = {point.number: point for point in points}
        self.why = why
        self._connectors = connectors
        self._power = power
        self._redis = redis
        self._is_over = is_over
        self._records = DatabaseThread()
        self._wake_ups = WakeUps()
        self._tasks = BackgroundTasks(logger)
        self._began_at = clock.now()
        self._revision = 0

    async def run(self) -> None:
        """Keep energy off until a control loop may begin."""
        logger.error("no control of the charging points: %s", "; ".join((*self.why.codes, *self._mistakes)))
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep_off(point)) for point in self.points.values()]
            tasks += [group.create_task(self._tell()), group.create_task(self._publish())]
            while not self._is_over():
                await asyncio.sleep(LOOK_S)
            for task in tasks:
                task.cancel()

    async def stop(self, *, comes_back: bool) -> None:
        """End; whatever follows, energy is off."""
        actuators = {number: point.actuator for number, point in self.points.items()}
        await withdraw_energy(actuators, until_s=clock.monotonic_s() + WITHDRAW_S)

    def told(self) -> str:
        """Return why nothing is controlled, for systemd; empty until the first snapshot."""
        return "; ".join((self.why.info, *self._mistakes)) if self._revision else ""

    @property
    def _mistakes(self) -> list[str]:
        return [each.text for each in self.why.mistakes]

    async def command(self, envelope: Envelope) -> None:
        """Refuse a command, unless it asks for a restart: that is the way out by hand."""
        is_reset = isinstance(envelope.command, Reset)
        outcome = Outcome(status=Status.ACCEPTED) if is_reset else rejected(self.why.refusal)
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
                    record, revision = await self._records(_store, number, self.why.info, clock.now())
                    break
                except (DatabaseError, OSError) as error:
                    logger.warning("the status of connector %d could not be written: %s", number, error)
                    await asyncio.sleep(WRITE_AGAIN_S)
            await self._wake_ups.status_changed(record, revision)
        with contextlib.suppress(DatabaseError, OSError):
            await self._records(_log, self.why, clock.now())

    async def _publish(self) -> None:
        while True:
            self._revision += 1
            await live.publish_async(self._redis, self.take(self._revision))
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
            not_ready=self.why.codes,
            mistakes=self.why.mistakes,
            status="Faulted",
            faults=(),
            mains_ma=PAUSE,
            reader_ok=True,
            points=tuple(points),
        )


def _store(number: int, info: str, at: datetime) -> tuple[StatusRecord, int]:
    """Fault a connector, whose session and phase the next control loop finds as they are."""
    row = connectors.connector(number)
    record = StatusRecord(
        number=number,
        phase=row.phase,
        phase_since=row.phase_since or at,
        status="Faulted",
        error_code=FAULT.ocpp_error_code,
        info=info,
        vendor_error_code="",
        faults=(FAULT.code.value,),
        at=at,
    )
    # The control loop before may have told changes it could not write.
    return record, connectors.store_status(record, step=connectors.REVISIONS_KEPT_FREE)


def _log(why: WhyNone, at: datetime) -> None:
    event_log.log(why.event, at=at, **why.data)
