"""What a command writes to: a reader that goes away, an output that was never open."""

import os
import select
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

# What a shell reports of a program that the kernel ends for this reason.
_NOBODY_READS = 128 + signal.SIGPIPE


def run(command: Callable[[], None]) -> None:
    """Run a command; one whose reader goes away (`doctor | head -1`) ends without a word (141)."""
    _replace_closed()
    for stream in _outputs():
        # A terminal of another time cannot show every character; a traceback would say less than a question mark.
        stream.reconfigure(errors="replace")
    try:
        command()
    except BrokenPipeError:
        # A pipe or a socket that the command uses itself is another matter.
        if not any(map(_has_no_reader, _outputs())):
            raise
        _flush()
        sys.exit(_NOBODY_READS)
    except SystemExit as end:
        if _flush() or end.code:
            raise
        sys.exit(_NOBODY_READS)
    if not _flush():
        sys.exit(_NOBODY_READS)


def _replace_closed() -> None:
    """Give a program that was started without input or outputs (`>&-`), and what it starts, some that lead nowhere.

    The next file that one of them opens would take their numbers, and get what is meant for them.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - as long as the process lives
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)


def _outputs() -> list[TextIOWrapper]:
    # A test reads them from memory.
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]


def _has_no_reader(stream: TextIOWrapper) -> bool:
    poller = select.poll()
    poller.register(stream.fileno(), 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poller.poll(0))


def _flush() -> bool:
    """Write what is left, and drop what nobody reads: the interpreter would complain. Return whether all was read."""
    is_read = True
    for stream in _outputs():
        # What a full disk refuses is told by the interpreter.
        with suppress(OSError):
            try:
                stream.flush()
            except BrokenPipeError:
                is_read = False
                _drop(stream)
    return is_read


def _drop(stream: TextIOWrapper) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
