"""The Celery worker of the queue `hardware`; the control loop runs in it as a bootstep."""

from station.celery import HARDWARE_QUEUE, app
from station.host.heartbeat import Heartbeat
from station.processes.plan import Plan
from station.processes.programs import celery_worker


def main(_plan: Plan, heartbeat: Heartbeat) -> int:
    """Control the hardware until SIGTERM."""
    from hardware.runtime import bootstep

    bootstep.loop().heartbeat = heartbeat
    app.steps["worker"].add("hardware.runtime.bootstep:ControlLoopStep")
    return celery_worker.run(queue=HARDWARE_QUEUE, tasks=["hardware.runtime.tasks"])
