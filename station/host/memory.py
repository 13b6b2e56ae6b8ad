"""The memory of this process as the C library and the kernel manage it."""

import ctypes
import logging
import mmap
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_MAPPINGS = Path("/proc/self/smaps")
# malloc.h of the GNU C library.
_M_ARENA_MAX = -8
logger = logging.getLogger(__name__)


def limit_arenas(most: int) -> None:
    """Let threads share so many parts of the heap; each of its own would be kept for its own holes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, most)


def return_free_memory() -> None:
    """Give pages that hold nothing any more back to the system; without the GNU C library nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def unmap_library_pages() -> None:
    """Let go of the pages of programs and libraries; what is used again comes back from the page cache."""
    libc = ctypes.CDLL(None, use_errno=True)
    madvise = getattr(libc, "madvise", None)
    if madvise is None:
        return
    try:
        lines = _MAPPINGS.read_text(errors="replace").splitlines()
    except OSError:
        return
    for begin, end in unchanged_files(lines):
        if madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), ctypes.c_int(mmap.MADV_DONTNEED)):
            logger.debug("a library stays mapped: %s", os.strerror(ctypes.get_errno()))


def unchanged_files(smaps: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Find the private, read-only mappings of files in which nothing was changed since they were mapped.

    Changed ones look the same: the loader writes addresses into a part of each library before it protects it. The
    kernel counts such pages as anonymous, and nothing could bring them back.
    """
    begin = end = 0
    is_file = False
    for line in smaps:
        first, *rest = line.split()
        if not first.endswith(":"):
            span, permissions, inode, path = first, rest[0], rest[3], " ".join(rest[4:])
            begin, end = (int(bound, 16) for bound in span.split("-"))
            is_file = "w" not in permissions and permissions.endswith("p") and inode != "0" and path.startswith("/")
        elif first == "Anonymous:" and is_file and rest[0] == "0":
            yield begin, end
