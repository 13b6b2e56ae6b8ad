"""The boot loader's memory of the slots: what this start of the computer has found torn, and written anew.

The computer mends it as root before the station starts (`deploy/image`, boot-partition), and leaves a note.
"""

from station.paths import DataDirectory

NOTE = "station-boot-memory-mended"


def mended(data: DataDirectory) -> tuple[str, ...]:
    """Return the names of the files that were torn; empty: all was in order, or this computer has no such service."""
    try:
        return tuple((data.notes_of_the_computer / NOTE).read_text(encoding="utf-8").split())
    except (OSError, ValueError):
        return ()
