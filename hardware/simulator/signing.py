"""How a simulated signing meter fares: how long it signs, and what goes wrong with it."""

from dataclasses import dataclass, field
from enum import StrEnum

# A signature takes a small meter some tenths of a second; the OCA paper (section 2.3.1) knows of 30 s.
USUAL_SIGNING_S = 0.5
LONGEST_SIGNING_S = 30.0


class SigningFault(StrEnum):
    """What can go wrong with a meter that signs."""

    # The order fails and nothing is signed.
    SIGNATURE = "signature"
    # The power of the meter is cut in the middle of the next order, which is forgotten; then it is back.
    POWER = "power"
    # The next order is carried out, and nothing is answered about it until the fault goes.
    ANSWER = "answer"
    # The energy register cannot be read; what is signed says so.
    REGISTER = "register"
    # The record arrives with a wrong byte.
    RECORD = "record"
    # The signature is not of its key: what is signed does not verify.
    FORGED = "forged"
    # The meter's own log has no room: the order fails, and the meter says why.
    FULL = "full"


@dataclass(kw_only=True)
class Signing:
    """Of one charging point; `is_played`: its meter signs at all."""

    is_played: bool = False
    seconds: float = USUAL_SIGNING_S
    faults: set[SigningFault] = field(default_factory=set)

    def mend(self) -> None:
        """Make everything usual again."""
        self.seconds = USUAL_SIGNING_S
        self.faults.clear()
