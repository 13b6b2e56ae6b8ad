"""How often a page that is open to everybody is answered per minute: to one address, and to all together."""

import threading
from dataclasses import dataclass, field

WINDOW_S = 60.0


@dataclass(kw_only=True)
class RequestRate:
    """Counts the requests of a minute; there are no more addresses in it than `in_all`."""

    per_address: int
    in_all: int
    _begun_s: float = float("-inf")
    _total: int = 0
    _by_address: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def allows(self, address: str, *, now_s: float) -> bool:
        """Count a request; return whether it may be answered."""
        with self._lock:
            if now_s - self._begun_s >= WINDOW_S:
                self._begun_s, self._total = now_s, 0
                self._by_address.clear()
            if self._total >= self.in_all or self._by_address.get(address, 0) >= self.per_address:
                return False
            self._total += 1
            self._by_address[address] = self._by_address.get(address, 0) + 1
            return True
