"""What both Celery workers have in common, and beat without a schedule file."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import FrameType
from typing import Any

from celery import bootsteps, signals
from celery.apps.worker import Worker
from celery.beat import ScheduleEntry, Scheduler, SchedulingError, Service
from celery.platforms import SecurityWarning
from kombu.exceptions import OperationalError
from kombu.transport import redis as redis_transport
from redis.exceptions import RedisError
from typing_extensions import override

from station import clock
from station.celery import app, waiting_for_redis
from station.host.heartbeat import Heartbeat
from station.processes import redis_socket
from station.processes.child import RESTART_SIGNAL

# How long one read of the queue waits in Redis: only a bound for a silent Redis, tasks arrive at once.
_BLOCKING_READ_S = 10
_LONGEST_BEAT_SLEEP_S = 60
_BEAT_S = 5.0
logger = logging.getLogger(__name__)


class StationWorker(Worker):  # type: ignore[misc]
    """A worker whose signals, log and title belong to the station."""

    @override
    def install_platform_tweaks(self, worker: Worker) -> None:
        """Install no handlers: `run` has its own."""

    @override
    def setup_logging(self, colorize: bool | None = None) -> bool:
        """Leave logging as Django has set it up."""
        return True

    @override
    def set_process_status(self, info: str) -> None:
        """Keep the title the station gave."""


class TolerantChannel(redis_transport.Channel):
    """A way to the queue on which a message that is none is dropped; kombu's own ends the worker with it.

    A worker that ends takes the control loop with it, and five of them mean safe mode: whatever lies in Redis must not
    be able to do that (docs/security.md, attack 11).
    """

    @override
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            logger.error("a message in the queue cannot be read and is dropped: %r", problem)  # noqa: TRY400 - no code of ours
            return True

    @override
    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        # Two questions more for each connection, and the metadata of a package read for them.
        return super()._connparams(asynchronous) | {"driver_info": None}  # type: ignore[no-untyped-call, no-any-return]


class PatientScheduler(Scheduler):  # type: ignore[misc]
    """Leaves a job for its next time while Redis is away, without the traceback of an accident."""

    @override
    def apply_async(self, entry: ScheduleEntry, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        try:
            # Not with the producer that beat keeps: once its channel is closed, nothing is sent through it any more.
            return super().apply_async(entry, producer=None, advance=advance, **options)
        except SchedulingError as problem:
            if not isinstance(problem.__context__, (OperationalError, RedisError, OSError)):
                raise
            logger.warning("Redis is away, %s waits for its next time: %s", entry.name, problem.__context__)
            return None


class _BeatService(Service):  # type: ignore[misc]
    """Beat with our scheduler, without looking through every installed package for others."""

    @override
    def get_scheduler(self, lazy: bool = False, extension_namespace: str = "") -> Scheduler:
        return PatientScheduler(app=self.app, max_interval=self.max_interval, lazy=lazy)


class Beat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Runs the periodic jobs' clock in a thread; its schedule is code, so nothing needs to be stored."""

    def __init__(self, worker: Worker, **options: Any) -> None:
        super().__init__(worker, **options)
        self._service: Service | None = None
        self._thread: threading.Thread | None = None

    @override
    def start(self, worker: Worker) -> None:
        """Start the thread."""
        self._service = _BeatService(worker.app, max_interval=_LONGEST_BEAT_SLEEP_S)
        self._thread = threading.Thread(target=self._service.start, name="beat", daemon=True)
        self._thread.start()

    @override
    def stop(self, worker: Worker) -> None:
        """Let the thread end when it wakes up next; it holds nothing that must be saved."""
        if self._service:
            self._service.stop(wait=False)


class WakeOnSignal(bootsteps.StartStopStep):  # type: ignore[misc]
    """Ends the event loop's sleep when a signal arrives; Python resumes it otherwise (PEP 475)."""

    requires = ("celery.worker.components:Hub",)

    @override
    def start(self, worker: Worker) -> None:
        """Connect the signal to the loop."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        worker.hub.add_reader(reader, os.read, reader, 64)


def _watched(heartbeat: Heartbeat) -> None:
    """Beat whenever the main thread comes round, and tell when tasks are taken."""

    def beat() -> None:
        heartbeat.beat(clock.monotonic_s())

    def ready(**_options: Any) -> None:
        heartbeat.serves("does the long jobs")

    class BeatsOnLoop(bootsteps.StartStopStep):  # type: ignore[misc]
        """Beats while the event loop turns: not while a task runs."""

        requires = ("celery.worker.components:Hub",)

        @override
        def start(self, worker: Worker) -> None:
            worker.hub.call_repeatedly(_BEAT_S, beat)

    app.steps["worker"].add(BeatsOnLoop)
    waiting_for_redis.append(beat)
    # Celery keeps weak references only.
    signals.worker_ready.connect(ready, weak=False)


def _client_name(queue: str) -> str:
    return f"worker-{queue}"


def _end_blocking_read(queue: str) -> None:
    """Let Redis answer the waiting read of the queue now; kombu waits for that answer before it closes."""
    from station.services import redis

    client = redis.client()
    try:
        for entry in client.client_list():
            if entry["name"] == _client_name(queue) and entry["cmd"] == "brpop":
                client.client_unblock(int(entry["id"]))
    except (RedisError, OSError):
        # Without Redis nothing waits.
        return


def run(
    *,
    queue: str,
    tasks: list[str],
    ends: Callable[[int], None] = lambda _number: None,
    heartbeat: Heartbeat | None = None,
) -> int:
    """Run one worker in this process until SIGTERM or RESTART_SIGNAL; `ends` hears which. Return the exit code.

    `heartbeat`: what hears that the main thread comes round, between two tasks and while it waits for Redis.
    """
    from celery.worker import state

    redis_socket.wait()
    if heartbeat is not None:
        _watched(heartbeat)
    app.conf.broker_transport_options |= {"client_name": _client_name(queue), "polling_interval": _BLOCKING_READ_S}
    # The only database is a file: its connection is not worth renewing for each task.
    app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize
    app.steps["worker"].add(WakeOnSignal)
    redis_transport.Transport.Channel = TolerantChannel
    # Celery warns of pickle under root; nothing but JSON is accepted here.
    warnings.simplefilter("ignore", SecurityWarning)
    worker = StationWorker(
        app=app,
        hostname=f"{queue}@station",
        queues=[queue],
        include=tasks,
        pool="solo",
        concurrency=1,
        loglevel="WARNING",
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )

    def end(number: int, _frame: FrameType | None) -> None:
        ends(number)
        state.should_stop = 0
        _end_blocking_read(queue)

    for number in (signal.SIGTERM, RESTART_SIGNAL):
        signal.signal(number, end)
    worker.start()
    return int(worker.exitcode or 0)
