"""The factory's file on the EFI partition: whether it could be removed once it was taken or refused.

Only root may do that (`deploy/image`, station-provision-file.service); it leaves a note where it could not.
"""

from station.paths import DataDirectory

NOTE = "station-provision-left"


def is_left(data: DataDirectory) -> bool:
    """Return whether the file, with the factory password in it, is still there although nobody needs it any more."""
    return (data.notes_of_the_computer / NOTE).exists()
