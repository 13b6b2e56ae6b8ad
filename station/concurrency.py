"""What every event loop of the station needs: waiting with a limit, and tasks beside the main flow."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")

# A timer may fire a moment early: what is due within this share of its period has just been done.
_TOO_SOON = 0.02


def until_tick_s(period_s: float, now_s: float) -> float:
    """Return the seconds until the next multiple of a period.

    What is repeated for ever sleeps until then instead of for so long: tasks whose periods are multiples of one another
    wake the processor once for all, and from an idle processor a wake-up costs more than what it is for.
    """
    wait_s = period_s - now_s % period_s
    return wait_s if wait_s > _TOO_SOON * period_s else wait_s + period_s


async def wait_or_timeout(event: asyncio.Event, seconds: float | None) -> bool:
    """Wait until the event is set, so many seconds at most (None: for ever); return whether it was set.

    Unlike `asyncio.wait_for` of Python 3.11 (CPython issue 86296) this never loses a cancellation that meets the end of
    the waiting; a loop around it would then never end.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class BackgroundTasks:
    """Keeps tasks that nobody awaits from being collected, and logs those that fail.

    `expected` failures say nothing new and are not logged.
    """

    def __init__(self, logger: logging.Logger, *, expected: tuple[type[Exception], ...] = ()) -> None:
        self._logger = logger
        self._expected = expected
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
        """Run something beside the caller, soon."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def close(self) -> None:
        """Cancel what is still running and wait for its end."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or isinstance(error, self._expected):
            return
        self._logger.error(
            "A background task failed: %s", getattr(task.get_coro(), "__qualname__", task), exc_info=error
        )
