"""The memory of this process as the C library manages it."""

import ctypes


def return_free_memory() -> None:
    """Give pages that hold nothing any more back to the system; without the GNU C library nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
