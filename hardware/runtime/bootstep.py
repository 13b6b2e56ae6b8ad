"""The control loop as a bootstep of the Celery worker: an event loop in a thread of its own.

The worker's main thread consumes commands; when Redis is away it only waits, and the loop goes on charging.
"""

import asyncio
import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from celery import bootsteps

from hardware.runtime.control_loop import ControlLoop
from hardware.runtime.heartbeat import LoopHeartbeat
from hardware.runtime.stand_in import StandIn
from hardware.runtime.undescribed import Undescribed
from hardware.runtime.wiring import make, withdraw_energy_before_start
from station import clock
from station.concurrency import BackgroundTasks
from station.domain.crash_guard import CrashCause, CrashHistory
from station.host.crash_record import CrashRecord
from station.host.heartbeat import Heartbeat, UnwatchedHeartbeat

logger = logging.getLogger(__name__)

_STOP_S = 8.0


class LoopThread:
    """Owns the event loop and the station in it."""

    def __init__(self) -> None:
        self.heartbeat: Heartbeat = UnwatchedHeartbeat()
        # Whether the present end is a restart, after which another process takes the energy over.
        self.comes_back = False
        # Whether the end has withdrawn energy, as far as the boards answered.
        self.has_withdrawn = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self.crash_record: CrashRecord | None = None
        self._control_loop: ControlLoop | StandIn | None = None
        self._main: asyncio.Task[None] | None = None
        self._is_ending = False
        self._tasks = BackgroundTasks(logger)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._work, name="control-loop", daemon=True)

    def start(self) -> None:
        """Start the thread; returns when the station takes commands."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """End the loop in order."""
        if self._loop is not None:
            # The loop that has ended by itself is closed.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end)
        self._thread.join(_STOP_S)

    def _end(self) -> None:
        self._is_ending = True
        if self._main is not None:
            self._main.cancel()

    def submit(self, work: Callable[[ControlLoop | StandIn], Coroutine[Any, Any, None]]) -> None:
        """Run work in the loop, from any thread, without waiting."""
        if self._loop is None or self._control_loop is None:
            return
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin, work)

    def _begin(self, work: Callable[[ControlLoop | StandIn], Coroutine[Any, Any, None]]) -> None:
        if self._control_loop is not None:
            self._tasks.spawn(work(self._control_loop))

    def _work(self) -> None:
        try:
            is_wanted = asyncio.run(self._live())
        except Exception:
            logger.exception("the control loop has ended")
            if self.crash_record is not None:
                self.crash_record.note_cause(CrashCause.EXCEPTION)
        else:
            if is_wanted:
                return
        # The worker without its loop is of no use; the supervisor starts a fresh one.
        self._ready.set()
        os.kill(os.getpid(), signal.SIGKILL)

    async def _live(self) -> bool:
        """Run to the end; return whether somebody has asked for it."""
        self._loop = asyncio.get_running_loop()
        history = self.crash_record.history if self.crash_record else CrashHistory()
        self._control_loop = await _make(history)
        is_wanted = await self._run(self._control_loop)
        if isinstance(self._control_loop, Undescribed) and not is_wanted:
            # A new process, because this one holds the ports of the last description. It ends in order.
            os.kill(os.getpid(), signal.SIGTERM)
            is_wanted = True
        if self.crash_record is not None:
            if is_wanted:
                self.crash_record.forget()
            else:
                # Only safe mode ends by itself.
                self.crash_record.try_again(clock.monotonic_s())
        return is_wanted

    async def _run(self, control_loop: ControlLoop | StandIn) -> bool:
        """Run until it ends by itself, or until somebody asks for the end; return whether somebody has."""
        self._main = asyncio.create_task(control_loop.run())
        if self._is_ending:
            self._main.cancel()
        beating = asyncio.create_task(
            LoopHeartbeat(
                self.heartbeat,
                points=control_loop.points.values(),
                database=control_loop.database,
                status=control_loop.told,
            ).run()
        )
        self._ready.set()
        is_wanted = False
        try:
            await self._main
        except asyncio.CancelledError:
            is_wanted = True
            logger.info("the control loop ends")
        finally:
            beating.cancel()
            comes_back = self.comes_back
            await control_loop.stop(comes_back=comes_back)
            self.has_withdrawn = not comes_back
        return is_wanted


async def _make(history: CrashHistory) -> ControlLoop | StandIn:
    try:
        return await make(history)
    except Exception:
        # Nobody controls what the run before has left on, and the next try may fail like this one.
        await withdraw_energy_before_start()
        raise


class _Holder:
    thread: LoopThread | None = None


def loop() -> LoopThread:
    """Return this process's control loop."""
    if _Holder.thread is None:
        _Holder.thread = LoopThread()
    return _Holder.thread


class ControlLoopStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Starts the loop with the worker and ends it with the worker."""

    # The loop must be there before the first command is taken, and outlive the last one.
    requires = ("celery.worker.components:Pool",)

    def start(self, worker: Any) -> None:
        """Start controlling the hardware."""
        loop().start()

    def stop(self, worker: Any) -> None:
        """Stop controlling the hardware."""
        loop().stop()

    terminate = stop
