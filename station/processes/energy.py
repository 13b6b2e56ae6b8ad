"""Energy that an earlier run has left on, withdrawn by a process that controls nothing itself."""

import multiprocessing
import signal
from contextlib import suppress

from station.paths import DataDirectory
from station.processes import lock
from station.processes.plan import Plan

# The withdrawal itself gives up earlier at boards that do not answer.
_WITHDRAW_S = lock.WITHDRAWAL_S


def withdraw(plan: Plan) -> None:
    """Withdraw energy that an earlier run may have left on, unless a service of the init system is in control of it.

    A control that is to begin meanwhile waits for the end.
    """
    with suppress(lock.IsControlled), lock.uncontrolled(DataDirectory(plan.data)):
        # In a process of its own, which takes its ports with it.
        process = multiprocessing.get_context("fork").Process(target=_withdraw_in_time, daemon=True)
        process.start()
        process.join(_WITHDRAW_S)
        if process.is_alive():
            process.kill()
            process.join()


def _withdraw_in_time() -> None:
    # Goes on when the process that waits for it is killed, and keeps others from controlling until it ends.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _WITHDRAW_S)
    _withdraw()


def _withdraw() -> None:
    import asyncio

    from hardware.runtime.wiring import withdraw_energy_before_start

    asyncio.run(withdraw_energy_before_start())
