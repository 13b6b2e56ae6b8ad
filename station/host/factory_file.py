"""The factory's file on the EFI partition: whether it could be removed once it was taken or refused.

Only root may do that (`deploy/image`, station-provision-file.service); it leaves a note where it could not.
"""

from pathlib import Path

LEFT = Path("/run/station-provision-left")


def is_left() -> bool:
    """Return whether the file, with the factory password in it, is still there although nobody needs it any more."""
    return LEFT.exists()
