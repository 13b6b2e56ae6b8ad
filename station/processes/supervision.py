"""The main process as supervisor: PyPI supervisor, with children that are forked instead of executed.

A fork shares the memory of everything the main process has loaded and runs within milliseconds. What differs from a
plain supervisord: it wakes up at once when a child ends, restarts after tenths of a second instead of seconds, replaces
a child that no longer says that it works, keeps the children in its own process group, and takes the requests of
`station.host.power`.
"""

import gc
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import setproctitle
from django.conf import settings
from supervisor import events
from supervisor.loggers import Logger
from supervisor.medusa.asyncore_25 import ExitNow
from supervisor.options import ProcessConfig, ServerOptions, SignalReceiver
from supervisor.poller import PollPoller
from supervisor.process import ProcessGroup, Subprocess
from supervisor.states import ProcessStates, SupervisorStates
from supervisor.supervisord import Supervisor
from typing_extensions import override

from station import clock
from station.host.memory import return_free_memory, unmap_library_pages
from station.host.power import PowerVerb, take_request
from station.paths import DataDirectory
from station.processes import child
from station.processes.console import Excerpt
from station.processes.lock import StationLock
from station.processes.plan import Plan
from station.processes.redis_probe import RedisProbe
from station.processes.supervisor_library import PatientLogger, measure_durations_steadily
from station.processes.watch import HeartbeatWatch
from station.processes.watched_redis import SOCKET_NAME

CONFIG_FILE = "supervisord.conf"
COMMAND = "station-process"
# Seconds a process has for an orderly end; together they stay below the ten seconds a stop may take.
STOP_PATIENCE_S = {"web": 1, "ocpp": 2, "worker": 1, "hardware": 3, "simulator": 1, "demo-backend": 1, "redis": 1}
# What a restart of the software leaves alone.
_KEPT_ON_RESTART = {"redis", "simulator", "demo-backend"}
_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 30.0
_IDLE_S = 60.0
_READY_STEP_S = 0.1
_READY_TIMEOUT_S = 1.0
_FIRST_INHERITED = 3
# A silent process is aborted, so that it writes down where it hangs, and killed when it does not even do that.
_ABORT_S = 0.5
# Waiting no longer than this, the watch notices its own absence before the silence of the others looks like a hang.
_WATCHING_S = 2.0


def configuration(names: list[str]) -> str:
    """Write the supervisor's configuration; paths are relative to `run`, so no path needs quoting."""
    lines = [
        "[supervisord]",
        "nodaemon=true",
        "silent=true",
        "logfile=../logs/process-main.log",
        "logfile_maxbytes=500KB",
        "logfile_backups=1",
        "pidfile=supervisord.pid",
        "childlogdir=../logs",
        "nocleanup=true",
        "minfds=256",
        "minprocs=64",
    ]
    for priority, name in enumerate(names, start=1):
        lines += [
            f"[program:{name}]",
            f"command={COMMAND} {name}",
            f"priority={priority}",
            "autorestart=true",
            "startsecs=1",
            "startretries=1000000000",
            f"stopwaitsecs={STOP_PATIENCE_S[name]}",
            "redirect_stderr=true",
            f"stdout_logfile=../logs/process-{name}.log",
            "stdout_logfile_maxbytes=1MB",
            "stdout_logfile_backups=3",
            "stdout_events_enabled=true",
        ]
    return "\n".join(lines) + "\n"


class StationProcess(Subprocess):  # type: ignore[misc]
    """A child that comes back at once after an accident, and ever more slowly when it cannot live.

    `comes_back`: it is being stopped to be started again.
    """

    comes_back = False
    _ends_left = 2

    @override
    def change_state(self, new_state: int, expected: bool = True) -> bool | None:
        """Replace the supervisor's whole seconds of delay by tenths, doubling."""
        result: bool | None = super().change_state(new_state, expected)
        if new_state == ProcessStates.BACKOFF:
            doubled_s: float = _FIRST_BACKOFF_S * 2 ** min(self.backoff - 1, 16)
            self.delay = clock.monotonic_s() + min(doubled_s, _LONGEST_BACKOFF_S)
        return result

    @override
    def spawn(self) -> int | None:
        """Start the process; the watch waits for its first beat."""
        self.comes_back = False
        self.config.options.watch.started(self.config.name, at_s=clock.monotonic_s())
        # A stop may follow at once; it waits for the child that knows what to do about it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid: int | None = super().spawn()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return pid

    @override
    def finish(self, pid: int, sts: int) -> None:
        """Take the end of the process; in a stop of everything one that has left energy on is made to withdraw it."""
        super().finish(pid, sts)
        is_ending = self.config.options.mood < SupervisorStates.RUNNING
        if is_ending and self.config.name in child.HAS_ENERGY and sts != 0 and self._ends_left > 0:
            self._ends_left -= 1
            # It ends as soon as it hears that it shall, and withdraws energy before that.
            self.spawn()

    @override
    def stop(self) -> str | None:
        """Ask the process to end; the control loop hears whether another one follows."""
        if self.comes_back and self.config.name in child.HAS_ENERGY:
            self.administrative_stop, self.laststopreport = True, 0
            problem: str | None = self.kill(child.RESTART_SIGNAL)
        else:
            problem = super().stop()
        return problem

    @property
    def is_at_work(self) -> bool:
        """Whether the process lives and nobody has asked it to end."""
        return bool(self.pid) and self.state in {ProcessStates.STARTING, ProcessStates.RUNNING}

    def waits_s(self, now_s: float, *, is_running: bool) -> float:
        """Return how long nothing needs to be done about this process."""
        match self.state:
            case ProcessStates.STOPPED if is_running and not self.laststart:
                return 0.0
            case ProcessStates.EXITED if is_running:
                return 0.0
            case ProcessStates.BACKOFF | ProcessStates.STOPPING:
                return max(0.0, float(self.delay) - now_s)
            case ProcessStates.STARTING:
                return max(0.0, float(self.laststart + self.config.startsecs) - now_s)
        return _IDLE_S


class StationProcessConfig(ProcessConfig):  # type: ignore[misc]
    """Makes StationProcess instances."""

    @override
    def make_process(self, group: ProcessGroup | None = None) -> StationProcess:
        """Make the process of this configuration."""
        process = StationProcess(self)
        process.group = group
        return process


class PromptPoller(PollPoller):  # type: ignore[misc]
    """Waits as long as nothing is due, and wakes up for signals (PEP 475 resumes a plain poll)."""

    def __init__(self, options: "StationOptions") -> None:
        super().__init__(options)
        self.wakeup, self._wakeup_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup_writer, warn_on_full_buffer=False)
        self.register_readable(self.wakeup)
        self.patience_s: Callable[[], float] = lambda: 1.0
        self.on_signal: Callable[[], None] = lambda: None

    @override
    def poll(self, timeout: float) -> tuple[list[int], list[int]]:
        """Wait; the caller's fixed second is ignored."""
        # A millisecond more than due, because the supervisor compares with "later than".
        readable, writable = super().poll(self.patience_s() + 0.001)
        if self.wakeup in readable:
            os.read(self.wakeup, 1024)
            readable.remove(self.wakeup)
            # Before anything is started in this round: the signal may be the end.
            self.on_signal()
        return readable, writable

    @override
    def close(self) -> None:
        """Close the wake-up pipe."""
        signal.set_wakeup_fd(-1)
        os.close(self.wakeup)
        os.close(self._wakeup_writer)


class SignalInbox(SignalReceiver):  # type: ignore[misc]
    """Keeps received signals in order, and lets one look at the first."""

    def __init__(self) -> None:
        super().__init__()
        self._signals_recvd: deque[int] = deque()

    @property
    def first(self) -> int | None:
        """The signal that is handled next."""
        return self._signals_recvd[0] if self._signals_recvd else None

    @override
    def get_signal(self) -> int | None:
        """Take the first signal."""
        return self._signals_recvd.popleft() if self._signals_recvd else None


class StationOptions(ServerOptions):  # type: ignore[misc]
    """Supervisor's view of the system: `execve` of one of our processes runs it in the fork."""

    # Supervisor's loop looks at this in every round and leaves after the first when it is set.
    test = False

    def __init__(self, plan: Plan, kept: set[int], watch: HeartbeatWatch) -> None:
        super().__init__()
        self.watch = watch
        self.poller: PromptPoller = PromptPoller(self)
        self.signal_receiver = SignalInbox()
        self._plan = plan
        self._kept = kept
        self._main_pid, self._main_group = os.getpid(), os.getpgrp()
        self.on_open: Callable[[], None] = lambda: None

    @override
    def _processes_from_section(self, parser: Any, section: str, group_name: str, klass: Any = None) -> Any:
        return super()._processes_from_section(parser, section, group_name, StationProcessConfig)

    @override
    def make_logger(self) -> None:
        """Open the log of the main process."""
        super().make_logger()
        self.logger: Logger = PatientLogger(self.logger.level, self.logger.handlers)

    @override
    def getLogger(self, level: int | None = None) -> PatientLogger:
        """Make the log of one process."""
        return PatientLogger(level)

    @override
    def check_execv_args(self, filename: str, argv: list[str], st: Any) -> None:
        """Accept our own command, which is no file."""

    @override
    def close_fd(self, fd: int) -> None:
        """Close a descriptor unless every process of the station needs it."""
        if fd not in self._kept:
            super().close_fd(fd)

    @override
    def setsignals(self) -> None:
        """Listen to requests for a restart, too."""
        super().setsignals()
        signal.signal(signal.SIGUSR1, self.signal_receiver.receive)

    @override
    def openhttpservers(self, supervisord: Supervisor) -> None:
        """Open none: nobody but the main process's signals controls this supervisor."""
        self.on_open()

    @override
    def execve(self, filename: str, argv: list[str], env: dict[str, str]) -> None:
        """Become the child here and now."""
        name = argv[1]
        code = child.run_forked(
            name,
            self._plan,
            main_pid=self._main_pid,
            main_group=self._main_group,
            heartbeat=self.watch.heartbeat_of(name),
        )
        os._exit(code)


class StationSupervisor(Supervisor):  # type: ignore[misc]
    """Supervisor's loop with the station's requests and its readiness."""

    def __init__(self, options: StationOptions, plan: Plan, lock: StationLock, on_ready: Callable[[], None]) -> None:
        super().__init__(options)
        self._plan = plan
        self._lock = lock
        self._on_ready: Callable[[], None] | None = on_ready
        self._next_look_s = 0.0
        # When the next, harder signal is due for who is already being ended.
        self._killed_s: dict[int, float] = {}
        self._to_stop: list[ProcessGroup] = []
        self._to_start: list[ProcessGroup] = []
        self._excerpts = {name: Excerpt(name) for name in child.names(plan)}
        self._redis = RedisProbe(settings.REDIS_SOCKET)
        options.on_open = lambda: events.subscribe(events.ProcessLogEvent, self._show)
        options.poller.patience_s = self._patience_s
        options.poller.on_signal = self.handle_signal

    @override
    def handle_signal(self) -> None:
        """Treat a lost terminal as the end, and SIGUSR1 as a request."""
        receiver = self.options.signal_receiver
        if receiver.first == signal.SIGUSR1:
            receiver.get_signal()
            self._take_request()
        elif receiver.first == signal.SIGHUP:
            receiver.get_signal()
            self.options.mood = SupervisorStates.SHUTDOWN
        else:
            super().handle_signal()
        if self.options.mood == SupervisorStates.SHUTDOWN and not self.stopping:
            self._lock.announce_stop()
            self._give_up_restart()

    @override
    def tick(self, now: float | None = None) -> None:
        """Do what is due in every round."""
        self._continue_restart()
        self._listen_to_redis(clock.monotonic_s())
        self._replace_the_silent(clock.monotonic_s())
        if (
            self._on_ready
            and self.options.mood == SupervisorStates.RUNNING
            and clock.monotonic_s() >= self._next_look_s
        ):
            if _is_healthy(self._plan):
                self._on_ready()
                self._on_ready = None
            self._next_look_s = clock.monotonic_s() + _READY_STEP_S

    def _patience_s(self) -> float:
        patience_s = self._wait_s()
        self.options.watch.waits(patience_s)
        return patience_s

    def _wait_s(self) -> float:
        is_running = self.options.mood == SupervisorStates.RUNNING
        if self.options.signal_receiver.first is not None:
            return 0.0
        if not is_running and not (self.stop_groups and self.stop_groups[-1].get_unstopped_processes()):
            return 0.0
        now_s = clock.monotonic_s()
        waits = [process.waits_s(now_s, is_running=is_running) for process in self._processes()]
        waits += [min(max(0.0, due_s - now_s), _WATCHING_S) for _, due_s in self._deadlines()]
        if self._on_ready and is_running:
            waits.append(max(0.0, self._next_look_s - now_s))
        return min(waits, default=_IDLE_S)

    def _processes(self) -> list[StationProcess]:
        return [process for group in self.process_groups.values() for process in group.processes.values()]

    def _deadlines(self) -> Iterator[tuple[StationProcess, float]]:
        for process in self._processes():
            deadline_s = self.options.watch.deadline_s(process.config.name)
            if process.is_at_work and deadline_s is not None:
                yield process, self._killed_s.get(process.pid, deadline_s)

    def _listen_to_redis(self, now_s: float) -> None:
        """Take an answer of Redis for the beat that it has no way to send."""
        heartbeat = self.options.watch.heartbeat_of("redis")
        if self._redis.step(now_s) and heartbeat is not None:
            heartbeat.beat(now_s)

    def _replace_the_silent(self, now_s: float) -> None:
        """End who has not said in time that it works; the supervisor starts it again like any that has died."""
        self.options.watch.looks(at_s=now_s)
        silent = [process for process, due_s in self._deadlines() if now_s >= due_s]
        for process in silent:
            is_aborted = process.pid in self._killed_s
            if not is_aborted:
                self.options.logger.error(
                    "%(name)s (%(pid)s) no longer says that it works, and is replaced",
                    name=process.config.name,
                    pid=process.pid,
                )
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL if is_aborted else signal.SIGABRT)
        living = {process.pid for process in self._processes()}
        self._killed_s = {pid: due_s for pid, due_s in self._killed_s.items() if pid in living}
        self._killed_s |= {process.pid: now_s + _ABORT_S for process in silent}

    def _take_request(self) -> None:
        if self.options.mood != SupervisorStates.RUNNING:
            return
        match take_request(DataDirectory(self._plan.data)):
            case PowerVerb.REBOOT:
                self.options.logger.info("restarting everything, as asked")
                self.options.mood = SupervisorStates.RESTARTING
            case PowerVerb.RESTART_SOFTWARE if not self._to_start:
                self.options.logger.info("restarting the software, as asked")
                ours = [group for group in self.process_groups.values() if group.config.name not in _KEPT_ON_RESTART]
                for group in ours:
                    for process in group.processes.values():
                        process.comes_back = True
                self._to_start = sorted(ours)
                self._to_stop = sorted(ours)

    def _continue_restart(self) -> None:
        while self._to_stop and self.options.mood == SupervisorStates.RUNNING:
            group = self._to_stop[-1]
            if group.get_unstopped_processes():
                group.stop_all()
                return
            self._to_stop.pop()
        for group in self._to_start:
            for process in group.processes.values():
                process.spawn()
        self._to_start = []

    def _give_up_restart(self) -> None:
        """Let a stop overtake a restart: who was to go on with the energy is made to withdraw it."""
        for process in self._processes():
            if process.config.name not in child.HAS_ENERGY or process.is_at_work:
                continue
            if process.pid:
                process.signal(signal.SIGTERM)
            else:
                # It ends as soon as it hears that it shall, and withdraws energy before that.
                process.spawn()

    def _show(self, event: Any) -> None:
        excerpt = self._excerpts[event.process.config.name]
        excerpt.feed(event.data if isinstance(event.data, bytes) else event.data.encode())


def supervise(plan: Plan, lock: StationLock, on_ready: Callable[[], None]) -> int:
    """Run all processes until SIGTERM or SIGINT; return the exit code."""
    data = DataDirectory(plan.data)
    os.chdir(data.run)
    os.umask(0o077)
    setproctitle.setproctitle(f"station: main {plan.data}")
    names = child.names(plan)
    _write_configuration(data.run / CONFIG_FILE, configuration(names))
    measure_durations_steadily()
    kept = _descriptors_of_redis()
    # What the preparation has used and freed would count for every child (measured: 15 MiB of 210).
    return_free_memory()
    # The preparation has made keys, read certificates and loaded everything; the main process does none of that again.
    unmap_library_pages()
    # A child that took a place in it for another name would let go of the name there, and no longer share its page
    # (measured: 4 MiB of 186).
    sys._clear_type_cache()  # noqa: SLF001 - it has no other name
    # What exists now is the same in every child: never looked at again by the collector, its pages stay shared. No
    # collection before: the holes it leaves would be filled by each child for itself (measured: 11 MiB of 171).
    gc.freeze()
    watch = HeartbeatWatch()
    while True:
        options = StationOptions(plan, kept, watch)
        options.realize(["-c", CONFIG_FILE, "-n"], doc=__doc__, progname="station")
        options.first = True
        try:
            StationSupervisor(options, plan, lock, on_ready).main()
        except ExitNow:
            options.close_logger()
        if options.mood < SupervisorStates.RESTARTING:
            return 0
        _prepare_again(plan)


def _prepare_again(plan: Plan) -> None:
    """Do what the start of a computer does before its processes; in a child, because this one's memory is shared."""
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    code = 1
    try:
        from station.processes import preparation

        preparation.prepare(plan, at=clock.now())
        code = 0
    except Exception:
        # The outermost frame of this child; the processes start with what there is.
        logging.getLogger(__name__).exception("the station starts again without being prepared")
    finally:
        os._exit(code)


def _write_configuration(place: Path, text: str) -> None:
    # The next start of a station whose disk is full finds it as it is.
    if not place.exists() or place.read_text() != text:
        place.write_text(text)


def _descriptors_of_redis() -> set[int]:
    """Name the descriptor through which every process reaches the sockets in `run`, see `DataDirectory.socket`."""
    parts = settings.REDIS_SOCKET.removesuffix(f"/{SOCKET_NAME}").rsplit("/", 1)
    return {int(parts[1])}


def _is_healthy(plan: Plan) -> bool:
    address = plan.http.reachable
    connection = HTTPConnection(address.host, address.port, timeout=_READY_TIMEOUT_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": str(address)})
        answer = connection.getresponse()
        return answer.status == 200 and bool(json.loads(answer.read()).get("ready"))  # noqa: PLR2004
    except (OSError, HTTPException, ValueError):
        return False
    finally:
        connection.close()
