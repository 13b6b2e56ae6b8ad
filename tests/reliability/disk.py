"""The database of a simulated station: the real one, whose disk is slow, locked, full or broken when it shall be."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import OperationalError, connection

from tests.reliability.virtual import Killed, Process

P = ParamSpec("P")
R = TypeVar("R")

# The busy time-out of the station's own connections.
BUSY_S = 10.0
_WRITING = ("INSERT", "UPDATE", "DELETE", "REPLACE", "BEGIN IMMEDIATE")
LOCKED, FULL, BROKEN = "database is locked", "database or disk is full", "disk I/O error"


@dataclass
class Disk:
    """What all processes of a station share.

    `trouble` is the error that every write meets; `fails_at` the number of one single write that fails; `hangs` lets
    every verb wait. `dies_at_commit` is the number of the commit that ends the process which makes it, before or after.
    """

    dice: random.Random
    latency_s: float = 0.004
    trouble: str = ""
    fails_at: int | None = None
    writes: int = 0
    commits: int = 0
    dies_at_commit: int | None = None
    dies_before_commit: bool = False
    is_over: bool = False
    _free: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._free.set()

    def hang(self) -> None:
        """Let everybody wait for the disk."""
        self._free.clear()

    def go_on(self) -> None:
        """Let everybody have the disk again."""
        self._free.set()

    def mend(self) -> None:
        """Be a good disk again."""
        self.trouble, self.fails_at = "", None
        self._free.set()

    async def access(self) -> None:
        """Wait for the disk as long as it takes."""
        await asyncio.sleep(self.latency_s * self.dice.uniform(0.5, 2.0))
        await self._free.wait()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watch and trouble the statements of Django's connection."""
        database: Any = connection
        commit = database._commit

        def watched_commit() -> Any:
            if database.connection is None:
                return commit()
            dies = self._counts_commit()
            if dies and self.dies_before_commit:
                database._rollback()
                raise Killed
            result = commit()
            if dies:
                raise Killed
            return result

        database._commit = watched_commit
        try:
            with connection.execute_wrapper(self._execute):
                yield
        finally:
            database._commit = commit

    def _counts_commit(self) -> bool:
        self.commits += 1
        return self.commits == self.dies_at_commit

    def _execute(self, execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        if not sql.lstrip().upper().startswith(_WRITING):
            return execute(sql, params, many, context)
        self.writes += 1
        if self.trouble:
            raise OperationalError(self.trouble)
        if self.writes == self.fails_at:
            raise OperationalError(BROKEN)
        if connection.in_atomic_block or sql.upper().startswith("BEGIN"):
            return execute(sql, params, many, context)
        dies = self._counts_commit()
        if dies and self.dies_before_commit:
            raise Killed
        result = execute(sql, params, many, context)
        if dies:
            raise Killed
        return result


class ProcessDatabase:
    """One process's only way to the database: one verb after the other, each a step that nothing interrupts."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self._disk = disk
        self._process = process
        self._turn = asyncio.Lock()
        self.busy_since_s: float | None = None

    async def __call__(self, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        # A verb whose asker is cancelled goes on in the product's thread.
        return await asyncio.shield(asyncio.ensure_future(self._in_turn(partial(function, *args, **kwargs))))

    async def _in_turn(self, verb: Callable[[], R]) -> R:
        async with self._turn:
            self.busy_since_s = asyncio.get_running_loop().time()
            try:
                return await self._perform(verb)
            finally:
                self.busy_since_s = None

    async def _perform(self, verb: Callable[[], R]) -> R:
        await self._disk.access()
        if self._disk.is_over:
            raise OperationalError("the world has ended")
        try:
            return verb()
        except Killed:
            # Hooks of a commit die with the process that made it.
            connection.run_on_commit = []
            self._process.kill()
            await asyncio.Event().wait()
            raise
        except OperationalError as error:
            if str(error) == LOCKED:
                await asyncio.sleep(BUSY_S)
            raise

    def close(self) -> None:
        """Nothing to close."""
