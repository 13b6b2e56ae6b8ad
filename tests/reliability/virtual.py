"""Processes in virtual time that can be stopped, continued and killed between any two steps of any of their tasks.

SIGKILL runs no `finally`, so a killed task must not be cancelled: it is simply never stepped again. The loop knows by a
context variable which process a callback belongs to; tasks, timers and futures inherit it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar

from tests.fakes import VirtualLoop

T = TypeVar("T")
_OWNER: ContextVar["Process | None"] = ContextVar("process", default=None)


class Killed(BaseException):
    """The process dies here: raised through synchronous code, which gets no chance to do anything about it."""


class Process:
    """What one process of the operating system would be; `on_end` hears when it dies or its main task ends."""

    def __init__(self, loop: "MortalLoop", name: str, *, on_end: Callable[["Process"], None]) -> None:
        self.loop = loop
        self.name = name
        self.alive = True
        self.running = True
        self.steps = 0
        self.main: asyncio.Task[Any] | None = None
        # Dies before this step.
        self.dies_at_step: int | None = None
        # Held fast: the collector would run what a killed process never does.
        self.tasks: set[asyncio.Task[Any]] = set()
        self._parked: list[tuple[Callable[..., object], tuple[Any, ...], Context]] = []
        self._on_end = on_end
        self._home = copy_context()

    def start(self, main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run the main coroutine in this process."""
        self.main = self._owned(main)
        self.main.add_done_callback(self._ended)

    def run(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start a task in this process from outside, as a message that arrives does."""
        if self.alive:
            self._owned(work)

    def kill(self) -> None:
        """SIGKILL."""
        if self.alive:
            self.alive = False
            self._tell_end()

    def stop(self) -> None:
        """SIGSTOP."""
        self.running = False

    def go_on(self) -> None:
        """SIGCONT: everything that became due meanwhile happens now, in its order."""
        self.running = True
        if self.alive:
            self._release()

    def step(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        """Make one step of one task, unless the process is dead or stopped."""
        if self.alive and self.running:
            self.steps += 1
            if self.steps != self.dies_at_step:
                callback(*args)
                return
            self.kill()
        self._parked.append((callback, args, copy_context()))

    def bury(self) -> None:
        """After the end of the world: let frozen tasks be cancelled, so that nothing is left to the collector."""
        self.alive = self.running = True
        self.dies_at_step = None
        self._release()

    def _owned(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> "asyncio.Task[Any]":
        token = _OWNER.set(self)
        try:
            return self.loop.create_task(work())
        finally:
            _OWNER.reset(token)

    def _release(self) -> None:
        parked, self._parked = self._parked, []
        for callback, args, context in parked:
            self.loop.call_soon(callback, *args, context=context)

    def _ended(self, main: "asyncio.Task[Any]") -> None:
        if self.alive and not main.cancelled():
            self.alive = False
            self._tell_end()

    def _tell_end(self) -> None:
        # What follows from a death happens outside of the dead process.
        self._home.copy().run(self._on_end, self)


class MortalLoop(VirtualLoop):
    """A virtual loop whose callbacks belong to processes."""

    def create_task(self, coro: Any, **options: Any) -> Any:
        task = super().create_task(coro, **options)
        if (owned := _OWNER.get()) is not None:
            owned.tasks.add(task)
            task.add_done_callback(owned.tasks.discard)
        return task

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        owned = _owner_in(context)
        if owned is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(owned.step, callback, args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        owned = _owner_in(context)
        if owned is None:
            return super().call_at(when, callback, *args, context=context)
        return super().call_at(when, owned.step, callback, args, context=context)


def owner() -> Process | None:
    """Tell which process runs right now; None outside of them all."""
    return _OWNER.get()


def _owner_in(context: Context | None) -> Process | None:
    return _OWNER.get() if context is None else context.get(_OWNER)
