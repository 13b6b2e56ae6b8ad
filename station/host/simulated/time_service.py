"""The time service of a simulated station.

The clock is that of the computer the trial runs on, and is never set. What people choose is remembered; the time
servers are reached as long as the simulator has not cut the link.
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from station import clock
from station.host.ports import TimeStatus
from station.host.simulated.host_file import HostFile
from station.host.simulated.memory import Memory

MEMORY_FILE = "time.json"
SERVERS = ("0.pool.ntp.example", "1.pool.ntp.example")
# A time service asks about as often when all is well.
_POLL_S = 64
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SimulatedTime:
    """Says what it was told."""

    file: HostFile
    memory: Memory
    can_be_set: bool = False

    def examine(self) -> TimeStatus:
        kept = self.memory.read()
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
        self.memory.add(zone=name)

    def use_ntp(self, *, on: bool) -> None:
        self.memory.add(ntp=on)

    def set_time(self, at: datetime) -> None:
        logger.debug("a clock that is never set is to show %s", at)
