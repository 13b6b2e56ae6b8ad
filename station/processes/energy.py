"""Energy that an earlier run has left on, withdrawn by a process that controls nothing itself."""

import multiprocessing

from station.paths import DataDirectory
from station.processes import lock
from station.processes.plan import Plan

# The withdrawal itself gives up earlier at boards that do not answer.
_WITHDRAW_S = 10.0


def withdraw(plan: Plan) -> None:
    """Withdraw energy that an earlier run may have left on, unless a service of the init system is in control of it."""
    if lock.is_controlled(DataDirectory(plan.data)):
        return
    # In a process of its own, which takes its ports with it.
    process = multiprocessing.get_context("fork").Process(target=_withdraw, daemon=True)
    process.start()
    process.join(_WITHDRAW_S)
    if process.is_alive():
        process.kill()
        process.join()


def _withdraw() -> None:
    import asyncio

    from hardware.runtime.wiring import withdraw_energy_before_start

    asyncio.run(withdraw_energy_before_start())
