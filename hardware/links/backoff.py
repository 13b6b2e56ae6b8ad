"""When to try a lost port again."""

# An unplugged adapter is back within a fraction of a second of being plugged in again …
FIRST_PAUSE_S = 0.25
# … and looking for one that is gone costs a single system call, while a start waits for ports that come late.
LONGEST_PAUSE_S = 1.0


class PortBackoff:
    """Allows an attempt at once, then after pauses that double."""

    def __init__(self) -> None:
        self._pause_s = FIRST_PAUSE_S
        self._not_before_s = float("-inf")

    def allows(self, now_s: float) -> bool:
        """Return whether it is time for another attempt."""
        return now_s >= self._not_before_s

    def failed(self, now_s: float) -> None:
        """Note a failed attempt; the next one is allowed after a pause."""
        self._not_before_s = now_s + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)

    def succeeded(self) -> None:
        """Note success; the next loss is tried again at once."""
        self._pause_s = FIRST_PAUSE_S
        self._not_before_s = float("-inf")
