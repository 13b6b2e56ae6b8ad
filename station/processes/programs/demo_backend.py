"""The small OCPP backend of a demonstration, on the loopback interface."""

import asyncio

from station.host.heartbeat import Heartbeat
from station.processes.plan import Plan


class DemoBackendIsNotPlanned(RuntimeError):
    """The process was started without an address to listen at."""


def main(plan: Plan, _heartbeat: Heartbeat) -> int:
    """Serve until SIGTERM."""
    from ocpp_client.demo_backend.central import run

    if plan.demo_backend is None:
        raise DemoBackendIsNotPlanned("--demo-backend HOST:PORT is missing")
    directory = plan.data / "sim"
    directory.mkdir(mode=0o700, exist_ok=True)
    asyncio.run(run(plan.demo_backend.host, plan.demo_backend.port, directory / "demo_backend.json"))
    return 0
