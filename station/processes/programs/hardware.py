"""The Celery worker of the queue `hardware`; the control loop runs in it as a bootstep."""

import asyncio
import signal
from types import FrameType

from station.celery import HARDWARE_QUEUE, app
from station.host.heartbeat import Heartbeat
from station.processes.child import ENERGY_IS_ON, RESTART_SIGNAL
from station.processes.plan import Plan
from station.processes.programs import celery_worker


class EndsBeforeItBegan(BaseException):
    """SIGTERM came before the control loop. No Exception, so that nothing on the way takes it for one of its own."""


def _end_early(_number: int, _frame: FrameType | None) -> None:
    raise EndsBeforeItBegan


def main(_plan: Plan, heartbeat: Heartbeat) -> int:
    """Control the hardware until SIGTERM, which withdraws energy, or RESTART_SIGNAL, which does not."""
    signal.signal(signal.SIGTERM, _end_early)
    try:
        return _work(heartbeat)
    except EndsBeforeItBegan:
        from hardware.runtime.wiring import withdraw_energy_before_start

        asyncio.run(withdraw_energy_before_start())
        return 0


def _work(heartbeat: Heartbeat) -> int:
    from hardware.runtime import bootstep

    loop = bootstep.loop()
    loop.heartbeat = heartbeat

    def ends(number: int) -> None:
        # A stop that overtakes a restart wins.
        loop.comes_back = number == RESTART_SIGNAL

    app.steps["worker"].add("hardware.runtime.bootstep:ControlLoopStep")
    code = celery_worker.run(queue=HARDWARE_QUEUE, tasks=["hardware.runtime.tasks"], ends=ends)
    return code if code or loop.has_withdrawn else ENERGY_IS_ON
