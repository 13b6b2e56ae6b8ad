"""What PyPI supervisor lacks to supervise a charging station: it outlives a full disk, and a clock that is set."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import supervisor.process
import supervisor.supervisord
from supervisor.loggers import Handler, Logger
from typing_extensions import override

from station import clock


class _SteadyTime:
    """Stands in for the module `time`, of which the supervisor's modules use nothing but the moment."""

    time = staticmethod(clock.monotonic_s)


def measure_durations_steadily() -> None:
    """Have the supervisor's delays measured by the monotonic clock.

    By the wall clock a delay of seconds lasts as long as the clock is set back: hours in which nothing is restarted.
    """
    supervisor.process.time = supervisor.supervisord.time = _SteadyTime


def _fail() -> None:
    raise  # noqa: PLE0704 - called while an exception is handled


class PatientLogger(Logger):  # type: ignore[misc]
    """Leaves out what the disk does not take, where the supervisor would end by it, and the whole station with it."""

    def __init__(self, level: int | None = None, handlers: list[Handler] | None = None) -> None:
        super().__init__(level, [])
        for handler in handlers or []:
            self.addHandler(handler)

    @override
    def addHandler(self, hdlr: Handler) -> None:
        """Take a handler; it would print its troubles on a console that may be a file on the same disk."""
        hdlr.handleError = _fail
        super().addHandler(hdlr)

    @override
    def log(self, level: int, msg: str | bytes, **kw: Any) -> None:
        """Write a line, or leave it out."""
        quiet = [handler for handler in self.handlers if not _has_taken(handler, level, msg, kw)]
        for handler in quiet:
            _reopen(handler)


def _has_taken(handler: Handler, level: int, msg: str | bytes, values: dict[str, Any]) -> bool:
    if level < handler.level:
        return True
    only = Logger(level, [handler])
    try:
        only.log(level, msg, **values)
    except (OSError, ValueError):
        return False
    return True


def _reopen(handler: Handler) -> None:
    """Begin the file anew: a rotation that failed has left it closed, a failed flush would be repeated for ever."""
    with suppress(OSError, ValueError):
        handler.stream.close()
    with suppress(OSError):
        handler.stream = Path(handler.baseFilename).open("ab")  # noqa: SIM115 - the handler closes it
