"""The time service of a simulated station.

The clock is that of the computer the trial runs on, and is never set. What people choose is remembered; the time
servers are reached as long as the simulator has not cut the link.
"""

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from station import clock, private_files
from station.host.ports import TimeStatus
from station.host.simulated.host_file import HostFile

MEMORY_FILE = "time.json"
SERVERS = ("0.pool.ntp.example", "1.pool.ntp.example")
# A time service asks about as often when all is well.
_POLL_S = 64
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimulatedTime:
    """Says what it was told."""

    file: HostFile
    memory: Path
    can_be_set: bool = False

    def examine(self) -> TimeStatus:
        kept = self._read()
        ntp_on = bool(kept.get("ntp", True))
        is_heard = ntp_on and self.file.read().backend_link
        heard_s = int(clock.now().timestamp()) // _POLL_S * _POLL_S
        return TimeStatus(
            zone=str(kept.get("zone", "")),
            ntp_on=ntp_on,
            is_synchronised=is_heard,
            server=SERVERS[0] if is_heard else "",
            servers=SERVERS,
            heard_at=datetime.fromtimestamp(heard_s, UTC) if is_heard else None,
        )

    def set_zone(self, name: str) -> None:
        self._write(self._read() | {"zone": name})

    def use_ntp(self, *, on: bool) -> None:
        self._write(self._read() | {"ntp": on})

    def set_time(self, at: datetime) -> None:
        logger.debug("a clock that is never set is to show %s", at)

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.memory.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _write(self, content: dict[str, Any]) -> None:
        try:
            private_files.write(self.memory, json.dumps(content).encode())
        except OSError as problem:
            logger.warning("the simulated time service forgets what it was told: %s", problem)
