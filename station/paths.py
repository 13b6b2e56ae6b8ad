"""Where a station keeps what: everything below one data directory, nothing outside."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class DataDirectory:
    """The layout of one station's data directory."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "station.sqlite3"

    @property
    def identity(self) -> Path:
        return self.root / "identity.json"

    @property
    def hardware(self) -> Path:
        return self.root / "hardware.json"

    @property
    def secret_key(self) -> Path:
        return self.root / "secret.key"

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def files(self) -> Path:
        """Archives, downloads and uploads in work."""
        return self.root / "files"

    @property
    def simulation(self) -> Path:
        return self.root / "sim"

    @property
    def run(self) -> Path:
        """Sockets, locks and generated process configuration: worthless after a stop."""
        return self.root / "run"

    def create(self) -> None:
        """Make the directory and its parts, readable by the station's own user only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in (self.certificates, self.logs, self.files, self.run):
            part.mkdir(mode=0o700, exist_ok=True)

    @cached_property
    def _run_descriptor(self) -> int:
        return os.open(self.run, os.O_PATH | os.O_DIRECTORY)

    def socket(self, name: str) -> str:
        """Return a short path of a Unix socket in `run`.

        A socket address holds 107 bytes at most (unix(7)), a data directory may be longer and may contain blanks;
        the open descriptor of the directory gives a short name that works in this process and its forks.
        """
        return f"/proc/self/fd/{self._run_descriptor}/{name}"
