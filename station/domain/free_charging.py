"""Free charging (plug and charge): when a car that stands connected without a session may begin, and how often.

A car may have been plugged in while the station could not charge: the disk was full, a device away, the point out of
service. It begins when that is over, without being plugged in anew.
"""

from dataclasses import dataclass, replace

from station.domain.authorization import Reason
from station.domain.commands import Outcome, Refusal
from station.domain.connector import Phase, State

# An attempt that fails is repeated after pauses that double: each may ask the backend or let a meter sign.
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0
LOOK_AGAIN_S = 2.0

# What ends by itself, or by somebody else's hand, while the car stands there.
_PASSING = frozenset(
    {
        Refusal.CONNECTOR_FAULTED,
        Refusal.CONNECTOR_UNAVAILABLE,
        Refusal.CONNECTOR_OCCUPIED,
        Refusal.CONNECTOR_RESERVED,
        Refusal.START_PENDING,
        Refusal.RECORDS_UNWRITABLE,
        Refusal.METER_UNREADABLE,
        Refusal.METER_DOES_NOT_SIGN,
    }
)
# The backend was not heard. What it has said about the id is no passing matter.
_UNHEARD = frozenset(
    {
        Reason.BEFORE_FIRST_ACCEPTANCE,
        Reason.OFFLINE_LISTED_BLOCKED,
        Reason.OFFLINE_LISTED_EXPIRED,
        Reason.OFFLINE_CACHED_BLOCKED,
        Reason.OFFLINE_CACHED_EXPIRED,
        Reason.OFFLINE_LOCAL_OFF,
        Reason.OFFLINE_UNKNOWN,
        Reason.BACKEND_ANSWER_UNUSABLE,
    }
)
# Somebody has ended the session, who does not want another one for the same car, or a fault that lasted (Other): it may
# be the car's own, and would come again with each session.
_FOR_GOOD = frozenset({"Local", "Remote", "DeAuthorized", "UnlockCommand", "EmergencyStop", "Other"})
_WITHOUT_SESSION = frozenset({Phase.PLUGGED, Phase.LAPSED})


def is_passing(outcome: Outcome) -> bool:
    """Return whether a refused start may succeed later on with the car just standing there."""
    if outcome.reason is Refusal.TAG_REFUSED:
        return outcome.data.get("because") in _UNHEARD
    return outcome.reason in _PASSING


def has_ended_for_good(stop_reason: str) -> bool:
    """Return whether its car gets no other session until it is plugged in anew (an OCPP 1.6 Reason)."""
    return stop_reason in _FOR_GOOD


def has_lost_power(state: State, stop_reason: str) -> bool:
    """Return whether the car's session, the last one here, ended because the station had no power."""
    return state.phase is Phase.FINISHING and stop_reason == "PowerLoss"


def waits_for_session(state: State, stop_reason: str) -> bool:
    """Return whether a car stands here whose session, if it had one, only the loss of power ended.

    `stop_reason`: of the last session here.
    """
    return state.car and (state.phase in _WITHOUT_SESSION or has_lost_power(state, stop_reason))


@dataclass(frozen=True, kw_only=True)
class PlugIn:
    """One car, from being plugged in until it has a session or leaves.

    `is_over`: what it was refused for does not pass. `told`: the refusals that were explained, each of them once.
    `not_before_s`: monotonic seconds of the next attempt; `pause_s`: what follows its failure.
    """

    is_over: bool = False
    told: frozenset[tuple[str, str]] = frozenset()
    not_before_s: float = float("-inf")
    pause_s: float = FIRST_PAUSE_S

    def may_try(self, now_s: float) -> bool:
        """Return whether an attempt is due."""
        return not self.is_over and now_s >= self.not_before_s

    def is_news(self, outcome: Outcome) -> bool:
        """Return whether this refusal has not been explained to this car's driver."""
        return _key(outcome) not in self.told

    def tried(self, now_s: float) -> "PlugIn":
        """Take that an attempt begins; whatever becomes of it, the next one waits longer."""
        pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)
        return replace(self, not_before_s=now_s + self.pause_s, pause_s=pause_s)

    def refused(self, outcome: Outcome) -> "PlugIn":
        """Take the refusal of an attempt."""
        return replace(self, is_over=not is_passing(outcome), told=self.told | {_key(outcome)})

    def hindered(self, outcome: Outcome, now_s: float) -> "PlugIn":
        """Take what stood in the way before anything was tried."""
        return replace(self, told=self.told | {_key(outcome)}, not_before_s=now_s + LOOK_AGAIN_S)


def _key(outcome: Outcome) -> tuple[str, str]:
    return str(outcome.reason or ""), str(outcome.data.get("because", ""))
