"""What a simulated station consists of."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class SimulatorSettings:
    """Where the simulator lives and what it plays.

    `directory`: data directory of the station; everything of the simulator is in its folder `sim`. `control`: host and
    port of the control API, None for the Unix socket alone. `socket_lock`: a socket with a bolt; without it the cables
    are fixed. `strict_timing`: meters pass over requests that come within 60 ms after an answer, as real ones do.
    """

    directory: Path
    control: tuple[str, int] | None = None
    connectors: int = 1
    socket_lock: bool = True
    strict_timing: bool = False

    @property
    def folder(self) -> Path:
        """Where ports, sockets and files of the simulator are."""
        return self.directory / "sim"
