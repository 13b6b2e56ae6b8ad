"""Whether a control loop that keeps crashing may try again, or only keeps energy off: safe mode.

Moments are seconds of the steady clock of one boot; a boot of the computer begins a new history.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

# DESIGN.md section 2.
CRASHES = 5
WINDOW_S = 600.0
# Between two tries to leave safe mode; doubled with every one that crashes again.
FIRST_RETRY_S = 600.0
LONGEST_RETRY_S = 6 * 3600.0


class CrashCause(StrEnum):
    """How the control loop ended the last time; `station.ui.words` has a sentence for each."""

    EXCEPTION = "control_failed"
    # Without a word: replaced because it hung, out of memory, or killed by hand.
    KILLED = "control_killed"


@dataclass(frozen=True, kw_only=True)
class CrashHistory:
    """What is remembered from one control loop to the next until one ends in order.

    `running_since_s`: begin of the run whose end is not known; None: there was none. `retries`: how many times safe
    mode was entered without a run of WINDOW_S in between. `cause`: what the run has said before it crashed.
    """

    crashes: tuple[float, ...] = ()
    running_since_s: float | None = None
    safe_until_s: float | None = None
    retries: int = 0
    cause: CrashCause | None = None

    @property
    def is_safe_mode(self) -> bool:
        """Whether the present run only keeps energy off."""
        return self.safe_until_s is not None


def began(before: CrashHistory, now_s: float, *, crashes_allowed: int = CRASHES) -> CrashHistory:
    """Return the history of a run that begins now; that the run before did not end in order makes it a crash."""
    crashed = before.running_since_s is not None
    after = replace(before, running_since_s=now_s, crashes=_recent(before.crashes, now_s))
    if before.safe_until_s is not None:
        # Safe mode ends itself when its time is over; killed before, it goes on.
        return after if now_s < before.safe_until_s else replace(after, safe_until_s=None, crashes=(), cause=None)
    if not crashed:
        return after
    after = replace(after, crashes=(*after.crashes, now_s), cause=before.cause or CrashCause.KILLED)
    if before.running_since_s is not None and now_s - before.running_since_s >= WINDOW_S:
        after = replace(after, retries=0)
    if not crashes_allowed or (not after.retries and len(after.crashes) < crashes_allowed):
        return replace(after, cause=None)
    wait_s = min(FIRST_RETRY_S * 2.0**after.retries, LONGEST_RETRY_S)
    return replace(after, safe_until_s=now_s + wait_s, retries=after.retries + 1)


def _recent(crashes: tuple[float, ...], now_s: float) -> tuple[float, ...]:
    return tuple(moment for moment in crashes if now_s - moment < WINDOW_S)
