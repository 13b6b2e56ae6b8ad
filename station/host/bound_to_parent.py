"""Become another program that the kernel ends as soon as its parent does, however that happens.

    python -I -S bound_to_parent.py PARENT-PID PROGRAM ARGUMENT…

A program of its own, because what runs between fork and exec in a process with threads must not be Python; setpriv(1)
touches capabilities, which the units forbid. The kernel means the thread that started it: one that lives long enough.
"""

import ctypes
import os
import signal
import sys

# From prctl(2), for which Python has no binding.
_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Do it."""
    parent, *command = sys.argv[1:]
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise SystemExit("prctl(PR_SET_PDEATHSIG) failed")
    # It may have ended before the kernel was asked.
    if os.getppid() != int(parent):
        raise SystemExit(1)
    os.execv(command[0], command)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
