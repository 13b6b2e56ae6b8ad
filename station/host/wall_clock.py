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
logger = logging.getLogger(__name__)


@dataclass
class SystemClock:
    """The clock of a real station: the kernel knows whether a time service keeps it.

    `marker` names the boot in which the backend's time was taken, for all processes of the station.
    """

    marker: Path

    def is_trustworthy(self) -> bool:
        return clock.now() >= EARLIEST_STAMP and (self._was_set() or _kernel_says_synchronised())

    def _was_set(self) -> bool:
        try:
            return self.marker.read_text() == clock.boot_id()
        except OSError:
            return False

    def _note_set(self) -> None:
        try:
            self.marker.write_text(clock.boot_id())
        except OSError as problem:
            logger.warning("it cannot be noted that the clock was set: %s", problem)

    def set_from_backend(self, at: datetime) -> bool:
        # A time service is more accurate than a message of unknown delay.
        if not EARLIEST_STAMP <= at < LATEST_STAMP or _kernel_says_synchronised():
            return False
        if abs((at - clock.now()).total_seconds()) <= _TOLERATED_S:
            self._note_set()
            return False
        try:
            time.clock_settime(time.CLOCK_REALTIME, at.timestamp())
        except OSError as problem:
            logger.warning("the wall clock cannot be set from the backend: %s", problem)
            return False
        self._note_set()
        return True


@dataclass
class SimulatedClock:
    """The clock of a developer's computer, which is never set."""

    def is_trustworthy(self) -> bool:
        return clock.now() >= EARLIEST_STAMP

    def set_from_backend(self, at: datetime) -> bool:
        logger.debug("the backend says it is %s", at)
        return False


def _kernel_says_synchronised() -> bool:
    # `modes` 0, the first field, asks without changing anything; struct timex is smaller than this buffer.
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    state: int = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    return state not in (-1, _TIME_ERROR)
