"""The control loop's access to the database: one thread, one connection, in order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from station import clock

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


class DatabaseThread:
    """Runs the verbs of `station.services` beside the event loop, so that a locked database never delays hardware."""

    def __init__(self) -> None:
        # Since when the thread has been executing its present call (monotonic); None: it is idle.
        self.busy_since_s: float | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="database")

    async def __call__(
        self, function: Callable[_Parameters, _Result], /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Result:
        """Run one verb; what it raises is raised here."""
        return await asyncio.get_running_loop().run_in_executor(
            self._executor, self._run, partial(function, *args, **kwargs)
        )

    def _run(self, verb: Callable[[], _Result]) -> _Result:
        self.busy_since_s = clock.monotonic_s()
        try:
            return verb()
        finally:
            self.busy_since_s = None

    def close(self) -> None:
        """Wait for what was begun and end the thread."""
        self._executor.shutdown(wait=True)
