"""The motor that locks the plug in the socket."""

from dataclasses import dataclass

# A typical socket actuator travels for about 150 ms; without the end switch by then the board reports a jam.
TRAVEL_S = 0.150
GIVES_UP_S = 0.150


@dataclass(kw_only=True)
class LockMotor:
    """Where the bolt is and where it is driven to. `jammed`: the bolt does not move."""

    locked: bool = False
    target: bool = False
    jammed: bool = False
    since_s: float = 0.0

    @property
    def at_rest(self) -> bool:
        """Whether the bolt is where it shall be."""
        return self.locked == self.target

    def drive(self, *, locked: bool, now_s: float) -> None:
        """Start travelling towards open or locked; the same command again changes nothing."""
        if locked != self.target:
            self.target = locked
            self.since_s = now_s

    def jam(self, *, jammed: bool, now_s: float) -> None:
        """Make the motor fail or work again; when it works again it starts the interrupted travel anew."""
        if self.jammed and not jammed:
            self.since_s = now_s
        self.jammed = jammed

    def advance(self, *, now_s: float) -> None:
        """Arrive when the travelling time is over."""
        if not self.at_rest and not self.jammed and now_s - self.since_s >= TRAVEL_S:
            self.locked = self.target

    def has_failed(self, *, now_s: float) -> bool:
        """Whether the board noticed that the bolt did not arrive."""
        return not self.at_rest and now_s - self.since_s >= GIVES_UP_S
