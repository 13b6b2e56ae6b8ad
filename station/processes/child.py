"""How one process of the station begins: the same for a fork of the supervisor and for a systemd service."""

import ctypes
import faulthandler
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from importlib import import_module

from station.host.heartbeat import Heartbeat, UnwatchedHeartbeat, from_environment
from station.host.power import process_start_ticks
from station.paths import DataDirectory
from station.processes.lock import overwrite
from station.processes.plan import Plan
from station.services import identity

PROGRAMS = {
    "redis": "station.processes.programs.redis",
    "simulator": "station.processes.programs.simulator",
    "demo-backend": "station.processes.programs.demo_backend",
    "hardware": "station.processes.programs.hardware",
    "worker": "station.processes.programs.system_worker",
    "ocpp": "station.processes.programs.ocpp",
    "web": "station.processes.programs.web",
}
# What tells the control loop that it ends for a restart: another one follows at once, so cars go on charging. Whoever
# does not know about it sends SIGTERM, and energy is withdrawn.
RESTART_SIGNAL = signal.SIGUSR1
# Exit status of a control loop that has ended in order and left the energy on.
ENERGY_IS_ON = 3
# Programs that may have left energy on. They end differently for a stop and for a restart, and a SIGTERM that comes
# while one is being started waits until the program can withdraw it.
HAS_ENERGY = frozenset({"hardware"})
# Programs that run as another one: whatever they hold goes on with it.
BECOMES_ANOTHER = frozenset({"redis"})
# Programs beside a station: they play its surroundings, and work on none of its books.
IS_SURROUNDINGS = frozenset({"simulator", "demo-backend"})
# From prctl(2), for which Python has no binding.
_PR_SET_PDEATHSIG = 1
_DEFAULT_SIGNALS = (signal.SIGTERM, signal.SIGCHLD, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM)
logger = logging.getLogger(__name__)


class CannotBegin(RuntimeError):
    """Something outside keeps a program from beginning; `words` says what, in the language of whoever is told."""

    def __init__(self, words: Callable[[], str]) -> None:
        super().__init__()
        self._words = words

    def __str__(self) -> str:
        return self._words()


def names(plan: Plan) -> list[str]:
    """List the processes of this run, in the order they start."""
    left_out = {"simulator"} if not plan.simulate else set()
    if plan.demo_backend is None:
        left_out.add("demo-backend")
    return [name for name in PROGRAMS if name not in left_out]


def run(name: str, plan: Plan) -> int:
    """Run one process to its end in this very process, as a service of systemd; return the exit code."""
    return _run(name, plan, from_environment())


def run_forked(name: str, plan: Plan, *, main_pid: int, main_group: int, heartbeat: Heartbeat | None) -> int:
    """Run one process in a fresh fork of the supervisor, without anything that belongs to the supervisor."""
    gc.enable()
    signal.set_wakeup_fd(-1)
    for number in _DEFAULT_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    if name not in HAS_ENERGY:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    # A Ctrl-C reaches the whole group; the main process ends the children in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.setpgid(0, main_group)
    die_with_parent(main_pid)
    # A process that is silent is aborted to see where it hangs; its memory holds keys and stays off the disk.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _record(name, DataDirectory(plan.data))
    try:
        return _run(name, plan, heartbeat or UnwatchedHeartbeat())
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except CannotBegin as obstacle:
        logger.error("%s", obstacle)  # noqa: TRY400 - a sentence, for somebody who is no programmer
        return 1
    except Exception:
        logger.exception("%s ends unexpectedly", name)
        return 1
    finally:
        _close_databases()
        logging.shutdown()
        sys.stdout.flush()


def _run(name: str, plan: Plan, heartbeat: Heartbeat) -> int:
    import setproctitle

    setproctitle.setproctitle(f"station: {name} {plan.data}")
    # Writes down where every thread is when the process is aborted.
    faulthandler.enable()
    identity.outlive_damage()
    main: Callable[[Plan, Heartbeat], int] = import_module(PROGRAMS[name]).main
    return main(plan, heartbeat)


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when its parent dies, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        raise SystemExit(1)


def _record(name: str, data: DataDirectory) -> None:
    """Record what the next start needs to recognise an orphan of this run."""
    pid = os.getpid()
    try:
        overwrite(data.run / f"{name}.pid", f"{pid} {process_start_ticks(pid)}")
    except OSError as error:
        logger.warning("%s is not recorded in case it becomes an orphan: %s", name, error)


def _close_databases() -> None:
    from django.db import connections

    connections.close_all()
