"""The Celery worker of the queue `system`, with beat in a thread of its own."""

from station.celery import SYSTEM_QUEUE, app
from station.host.heartbeat import Heartbeat
from station.processes.plan import Plan
from station.processes.programs import celery_worker


def main(_plan: Plan, heartbeat: Heartbeat) -> int:
    """Do the long jobs until SIGTERM."""
    app.steps["worker"].add("station.processes.programs.celery_worker:Beat")
    return celery_worker.run(
        queue=SYSTEM_QUEUE, tasks=["station.processes.housekeeping", "station.tasks"], heartbeat=heartbeat
    )
