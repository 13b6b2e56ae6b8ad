"""What the main process prints on its terminal: little, and never blocking."""

import os
import re
import select
import sys
from collections.abc import Iterator

# The level stands behind the stamp, see LOGGING in station.settings; a traceback's lines have neither.
_LEVEL = re.compile(r"^\S+ (?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
# Redis has a format of its own; its output belongs in its log.
_REDIS = re.compile(r"^\d+:\S+ ")
_SHOWN = {"WARNING", "ERROR", "CRITICAL"}
_NAME_WIDTH = 12
# Writes of up to this size to a pipe are all or nothing (pipe(7)).
_ATOMIC_BYTES = 4096


def say(text: str) -> None:
    """Write one line to standard output, or drop it when that would block."""
    _put(sys.stdout.fileno(), text)


class Excerpt:
    """Selects the lines to show from one process's output, which arrives in pieces."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = ""
        self._shows = True

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        for line in self.lines(data.decode(errors="replace")):
            _put(sys.stderr.fileno(), f"{self._name:<{_NAME_WIDTH}} {line}")

    def lines(self, text: str) -> Iterator[str]:
        """Yield complete lines of level warning or above, with the lines that belong to them."""
        *whole, self._rest = (self._rest + text).split("\n")
        for line in whole:
            found = _LEVEL.match(line)
            if found:
                self._shows = found["level"] in _SHOWN
            if self._shows and line and not _REDIS.match(line):
                yield line


def _put(descriptor: int, text: str) -> None:
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT)
    # The supervisor must not hang because a pager or a test stopped reading.
    if any(events & select.POLLOUT for _, events in poller.poll(0)):
        try:
            os.write(descriptor, f"{text}\n".encode()[:_ATOMIC_BYTES])
        except OSError:
            return
