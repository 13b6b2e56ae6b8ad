"""What does not have to wait for the disk."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


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
        # A connection that was closed meanwhile is reopened with the default settings.
        if connection.connection is not None:
            connection.connection.execute("PRAGMA synchronous=FULL")
