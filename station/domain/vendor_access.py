"""How long the vendor's access stays open: a day of the steady clock, whatever becomes of the wall clock meanwhile."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from station.domain.stamps import Stamp

LONGEST = timedelta(hours=24)


class Door(StrEnum):
    """LOCAL: the terminal at the station's own connector. REMOTE: SSH from the network of the site."""

    LOCAL = "local"
    REMOTE = "remote"


@dataclass(frozen=True, kw_only=True)
class Opening:
    """An access that is open. `used`: what had passed of its time when it was `counted` last."""

    used: timedelta
    counted: Stamp

    def count(self, now: Stamp) -> "Opening":
        """Return it with the time that has passed since.

        Within a boot no setting of the clock matters. Across boots the wall clock is all there is: set back it adds
        nothing, set forward it ends the access early, which is the safe side.
        """
        return Opening(used=self.used + max(timedelta(), now.since(self.counted)), counted=now)

    def left(self, now: Stamp) -> timedelta:
        """Return how long it stays open; nothing when its time is over."""
        return max(timedelta(), LONGEST - self.count(now).used)
