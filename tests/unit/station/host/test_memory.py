"""What of this process's memory the kernel can read again from a file."""

import sqlite3
from pathlib import Path

from station.host import memory

_LIBRARY = """\
7f0000000000-7f0000004000 r--p 00000000 fd:00 1234                       /usr/lib/libcrypto.so.3
Rss:                  16 kB
Anonymous:             0 kB
7f0000004000-7f0000008000 r-xp 00004000 fd:00 1234                       /usr/lib/lib with a blank.so
Anonymous:             0 kB
7f0000008000-7f000000a000 r--p 00008000 fd:00 1234                       /usr/lib/libcrypto.so.3
Anonymous:             8 kB
7f000000a000-7f000000b000 rw-p 0000a000 fd:00 1234                       /usr/lib/libcrypto.so.3
Anonymous:             0 kB
7f000000b000-7f000000c000 r--s 00000000 fd:00 99                         /data/station.sqlite3-shm
Anonymous:             0 kB
7f000000c000-7f000000d000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
"""


def test_pages_that_nobody_changed_are_found():
    assert list(memory.unchanged_files(_LIBRARY.splitlines())) == [
        (0x7F0000000000, 0x7F0000004000),
        (0x7F0000004000, 0x7F0000008000),
    ]


def test_a_library_whose_pages_were_let_go_works_as_before():
    before = _resident_of_files()
    memory.unmap_library_pages()
    assert _resident_of_files() < before
    with sqlite3.connect(":memory:") as connection:
        assert connection.execute("SELECT upper('still there')").fetchone() == ("STILL THERE",)
    connection.close()


def _resident_of_files() -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile:"))
    return int(line.split()[1])
