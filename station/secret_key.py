"""The signing key of sessions: made on the device at first use, never shipped."""

import secrets
from pathlib import Path

from station import private_files
from station.paths import DataDirectoryRefused

_RANDOM_BYTES = 48
_SHORTEST = 50


def obtain(path: Path) -> str:
    """Return the key, making it where there is none. Raises DataDirectoryRefused.

    A torn one is set aside, which ends the sessions it has signed.
    """
    try:
        return _read(path) or _make(path)
    except OSError as problem:
        raise DataDirectoryRefused.because_of(problem.strerror, path.parent) from problem


def fresh() -> str:
    """Return a key that is kept nowhere."""
    return secrets.token_urlsafe(_RANDOM_BYTES)


def _read(path: Path) -> str | None:
    try:
        text = private_files.read(path).decode("ascii")
    except (OSError, UnicodeDecodeError):
        return None
    return text if len(text) >= _SHORTEST and text.isprintable() else None


def _make(path: Path) -> str:
    with private_files.exclusive(path.parent):
        # Another process may have been faster.
        if present := _read(path):
            return present
        if path.exists() or path.is_symlink():
            private_files.set_aside(path)
        made = fresh()
        private_files.write(path, made.encode())
        return made
