"""The computer of a simulated station, as the simulator's file describes it."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

_DEFAULT_SIGNAL = 80


@dataclass(frozen=True, kw_only=True)
class HostState:
    """What the simulator wrote."""

    backend_link: bool = True
    signal: int = _DEFAULT_SIGNAL
    sim: str = "ready"
    sim_number: int = 0
    registration: str = "home"


@dataclass
class HostFile:
    """`sim/host.json`, read again only when it has changed."""

    path: Path
    _stamp: tuple[int, int, int] | None = field(default=None, init=False)
    _state: HostState = field(default_factory=HostState, init=False)

    def read(self) -> HostState:
        """Return the latest state; the basic state while the file is absent or broken."""
        try:
            status = os.stat(self.path)  # noqa: PTH116 - asked ten times a second; a Path costs twice as much
            stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                content = json.loads(self.path.read_text())
                modem = content.get("modem", {})
                self._state = HostState(
                    backend_link=bool(content.get("backend_link", True)),
                    signal=int(modem.get("signal", _DEFAULT_SIGNAL)),
                    sim=str(modem.get("sim", "ready")),
                    sim_number=int(modem.get("sim_number", 0)),
                    registration=str(modem.get("registration", "home")),
                )
                self._stamp = stamp
        except (OSError, ValueError, AttributeError, TypeError):
            self._stamp, self._state = None, HostState()
        return self._state
