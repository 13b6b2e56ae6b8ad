"""The Celery worker of the queue `hardware`; the control loop runs in it as a bootstep."""

import asyncio
import signal
from types import FrameType

from django.conf import settings

from station import clock
from station.celery import HARDWARE_QUEUE, app
from station.host.crash_record import CrashRecord
from station.host.heartbeat import Heartbeat
from station.paths import DataDirectory
from station.processes.child import ENERGY_IS_ON, RESTART_SIGNAL
from station.processes.plan import Plan
from station.processes.programs import celery_worker


class EndsBeforeItBegan(BaseException):
    """SIGTERM came before the control loop. No Exception, so that nothing on the way takes it for one of its own."""


def _end_early(_number: int, _frame: FrameType | None) -> None:
    raise EndsBeforeItBegan


def main(plan: Plan, heartbeat: Heartbeat) -> int:
    """Control the hardware until SIGTERM, which withdraws energy, or RESTART_SIGNAL, which does not."""
    signal.signal(signal.SIGTERM, _end_early)
    record = CrashRecord(DataDirectory(plan.data), crashes_allowed=settings.CRASHES_BEFORE_SAFE_MODE)
    try:
        # One that came since the fork has waited for this.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        record.begin(clock.monotonic_s())
        return _work(heartbeat, record)
    except EndsBeforeItBegan:
        from hardware.runtime.wiring import withdraw_energy_before_start

        asyncio.run(withdraw_energy_before_start())
        record.forget()
        return 0


def _work(heartbeat: Heartbeat, record: CrashRecord) -> int:
    from hardware.runtime import bootstep

    loop = bootstep.loop()
    loop.heartbeat, loop.crash_record = heartbeat, record

    def ends(number: int) -> None:
        # A stop that overtakes a restart wins.
        loop.comes_back = number == RESTART_SIGNAL

    app.steps["worker"].add("hardware.runtime.bootstep:ControlLoopStep")
    code = celery_worker.run(queue=HARDWARE_QUEUE, tasks=["hardware.runtime.tasks"], ends=ends)
    return code if code or loop.has_withdrawn else ENERGY_IS_ON
