"""What carries a simulation: the loop, its timers, and what went wrong in it without anybody asking."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, copy_context
from pathlib import Path
from typing import Any

from django.db import connections

from tests.reliability.disk import Disk
from tests.reliability.virtual import MortalLoop, Process

_BURIAL_S = 600.0
_PAGE_KIB = 4


class Timers:
    """Timers of the world itself; they belong to no process and go on whatever dies."""

    def __init__(self, loop: MortalLoop) -> None:
        self._loop = loop
        self._home: Context | None = None

    def begin(self) -> None:
        """Take the present context for that of the world."""
        self._home = copy_context()

    def call_later(self, seconds: float, act: Callable[[], object]) -> None:
        """Do something in a while."""
        assert self._home is not None
        self._loop.call_later(seconds, act, context=self._home.copy())


class Tracebacks(logging.Handler):
    """Keeps what was logged with a traceback: unexpected failures mean that code must change (style.md, habit 10)."""

    def __init__(self, expected: Callable[[BaseException], bool]) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []
        self._expected = expected

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if error is None or self._expected(error):
            return
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        self.found.append(f"{record.getMessage()[:200]}: {type(error).__name__} at {place}: {str(error)[:200]}")


@contextmanager
def watched_logs(expected: Callable[[BaseException], bool]) -> Iterator[Tracebacks]:
    """Collect what is logged with a traceback for the length of a block."""
    handler = Tracebacks(expected)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield handler
    finally:
        root.removeHandler(handler)


def live(loop: MortalLoop, timers: Timers, scenario: Callable[[], Coroutine[Any, Any, None]]) -> list[str]:
    """Run a scenario to its end; answers what the loop complained about."""
    lost: list[str] = []

    def complain(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        lost.append(f"{context['message']}: {error!r}")

    async def within(connection: Any) -> None:
        # Django keeps connections per context; every task here works with the test's own.
        connections["default"] = connection
        timers.begin()
        loop.set_exception_handler(complain)
        await scenario()

    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(within(connections["default"]))
    return lost


async def bury(disk: Disk, processes: list[Process]) -> None:
    """End everything that was ever started, so that nothing is left to the garbage collector."""
    disk.mend()
    disk.is_over = True
    # A frozen task may be stepped once more than it has to say.
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    mine = asyncio.current_task()
    for task in asyncio.all_tasks():
        if task is not mine:
            task.cancel()
    for process in processes:
        process.bury()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    if others:
        await asyncio.wait(others, timeout=_BURIAL_S)


def rss_mib() -> float:
    """Read the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB / 1024
