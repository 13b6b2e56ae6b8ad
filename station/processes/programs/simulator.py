"""The simulated hardware: pseudo-terminals, cars and the control API."""

import asyncio

from station.host.heartbeat import Heartbeat
from station.processes.plan import Plan


def main(plan: Plan, _heartbeat: Heartbeat) -> int:
    """Play the hardware until SIGTERM."""
    from hardware.simulator.main import run
    from hardware.simulator.settings import SimulatorSettings
    from station.services import identity

    control = (plan.sim_control.host, plan.sim_control.port) if plan.sim_control else None
    made = identity.load()
    asyncio.run(
        run(
            SimulatorSettings(
                directory=plan.data,
                control=control,
                connectors=made.connectors,
                socket_lock=made.socket_lock,
            )
        )
    )
    return 0
