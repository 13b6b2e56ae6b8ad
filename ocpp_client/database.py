"""The database from an event loop: everything goes through one thread, so that changes keep their order."""

from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import connection

from station.services import stamps

P = ParamSpec("P")
R = TypeVar("R")


def version() -> int | None:
    """Return a number that changes when another connection has committed something; None where none is to be had."""
    if connection.vendor != "sqlite":
        return None
    connection.ensure_connection()
    row: tuple[int] = connection.connection.execute("PRAGMA data_version").fetchone()
    return row[0]


async def in_portions(correction: Iterator[int]) -> None:
    """Do work that yields after each portion; in between others have their turn."""
    while await in_database(stamps.portion, correction) is not None:
        continue


async def in_database(work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run synchronous database work in the process's database thread and return its result."""
    result: R = await _in_thread(work, *args, **kwargs)
    return result


def _call(work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    return work(*args, **kwargs)


# Made once: making it examines the function it wraps, which costs as much as the way to the thread.
_in_thread = sync_to_async(_call, thread_sensitive=True)
