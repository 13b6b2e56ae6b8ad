"""Whether the computer's wall clock can be trusted, and setting it from the backend's time."""

import ctypes
import logging
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from station import clock
from station.domain.moments import EARLIEST_STAMP, LATEST_STAMP

# adjtimex(2): the clock is not synchronised.
_TIME_ERROR = 5
_TIMEX_BYTES = 256
# A smaller correction is not worth time stamps that run backwards.
_TOLERATED_S = 2.0
_FROM_BACKEND = "backend"
_FROM_TIME_SERVICE = "time_service"
_WAS_RIGHT = "clock-right-in-boot"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SetTime:
    """Where the time of this run of the computer came from, and when: `backend` or `browser`."""

    source: str
    at: datetime


@dataclass(frozen=True)
class ClockNote:
    """A file that names the boot in which the clock was set, for all processes of the station, and who has set it."""

    path: Path

    def write(self, source: str, at: datetime) -> None:
        """Note that the clock shows a time somebody has told."""
        try:
            self.path.write_text(f"{clock.boot_id()}\n{source}\n{at.isoformat()}\n")
        except OSError as problem:
            logger.warning("it cannot be noted that the clock was set: %s", problem)

    def read(self) -> SetTime | None:
        """Return who has set it since the computer started; None when nobody has."""
        try:
            boot_id, source, at = self.path.read_text().split()
            return SetTime(source=source, at=datetime.fromisoformat(at)) if boot_id == clock.boot_id() else None
        except (OSError, ValueError):
            return None


@dataclass
class SystemClock:
    """The clock of a real station: the kernel knows whether a time service keeps it."""

    marker: Path
    _was_right: bool = False

    def is_trustworthy(self) -> bool:
        was_set = ClockNote(self.marker).read() is not None
        return clock.now() >= EARLIEST_STAMP and (was_set or _kernel_says_synchronised())

    def has_been_right(self) -> bool:
        if not self._was_right:
            # Noted for the processes that start later, when the kernel may have lost the time service for hours.
            note = ClockNote(self.marker.with_name(_WAS_RIGHT))
            self._was_right = note.read() is not None
            if not self._was_right and self.is_trustworthy():
                note.write(_FROM_TIME_SERVICE, clock.now())
                self._was_right = True
        return self._was_right and clock.now() >= EARLIEST_STAMP

    def set_from_backend(self, at: datetime) -> bool:
        # A time service is more accurate than a message of unknown delay.
        if not EARLIEST_STAMP <= at < LATEST_STAMP or _kernel_says_synchronised():
            return False
        if abs((at - clock.now()).total_seconds()) <= _TOLERATED_S:
            ClockNote(self.marker).write(_FROM_BACKEND, at)
            return False
        try:
            time.clock_settime(time.CLOCK_REALTIME, at.timestamp())
        except OSError as problem:
            logger.warning("the wall clock cannot be set from the backend: %s", problem)
            return False
        ClockNote(self.marker).write(_FROM_BACKEND, at)
        return True


@dataclass
class SimulatedClock:
    """The clock of a developer's computer, which is never set; what the backend says is only noted."""

    marker: Path

    def is_trustworthy(self) -> bool:
        return clock.now() >= EARLIEST_STAMP

    def has_been_right(self) -> bool:
        return self.is_trustworthy()

    def set_from_backend(self, at: datetime) -> bool:
        logger.debug("the backend says it is %s", at)
        ClockNote(self.marker).write(_FROM_BACKEND, at)
        return False


def _kernel_says_synchronised() -> bool:
    # `modes` 0, the first field, asks without changing anything; struct timex is smaller than this buffer.
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return state not in (-1, _TIME_ERROR)
