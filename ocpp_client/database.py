"""The database from an event loop: everything goes through one thread, so that changes keep their order."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

P = ParamSpec("P")
R = TypeVar("R")


def version() -> int | None:
    """Answer a number that changes when another connection has committed something; None where none is to be had."""
    if connection.vendor != "sqlite":
        return None
    connection.ensure_connection()
    row: tuple[int] = connection.connection.execute("PRAGMA data_version").fetchone()
    return row[0]


async def in_database(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run synchronous database work in the process's database thread and return its result."""
    return await sync_to_async(work, thread_sensitive=True)(*args, **kwargs)


@contextmanager
def without_flush() -> Iterator[None]:
    """Commit without waiting for the disk.

    For bookkeeping that a power cut may undo because it is done again afterwards; a killed process undoes nothing, and
    the next commit that waits for the disk brings everything before it there, too.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    connection.connection.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        connection.connection.execute("PRAGMA synchronous=FULL")
