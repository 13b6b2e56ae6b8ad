"""How many connections there may be, and which one goes when there are more.

A new connection is let in at the cost of another one: whoever holds many open without ever asking something complete
loses them, and somebody who is signed in comes in however many a stranger holds.
"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol

# A browser opens six connections to one address, and one more for each open page.
MOST_PER_ADDRESS = 24
MOST = 64


class Connection(Protocol):
    """What the choice needs to know about a connection."""

    def is_waiting(self) -> bool:
        """Return whether no answer and no socket is under way, so that it may be dropped."""

    def has_asked(self) -> bool:
        """Return whether it has brought a complete request before."""

    def drop(self) -> None:
        """End it at once."""


@dataclass(kw_only=True)
class Crowd:
    """The open connections, oldest first."""

    most: int = MOST
    most_per_address: int = MOST_PER_ADDRESS
    _open: dict[Hashable, tuple[str, Connection]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, key: Hashable, connection: Connection, *, address: str) -> bool:
        """Count a connection in, dropping another one if need be; return whether it may stay."""
        origin = _network(address)
        counts = Counter(origin for origin, _ in self._open.values())
        if counts[origin] >= self.most_per_address:
            crowded: str | None = origin
        elif len(self._open) >= self.most:
            crowded = self._largest(counts)
        else:
            crowded = None
        if crowded is not None and not self._drop_one(crowded):
            return False
        self._open[key] = (origin, connection)
        return True

    def leave(self, key: Hashable) -> None:
        """Count a connection out."""
        self._open.pop(key, None)

    def _largest(self, counts: Counter[str]) -> str | None:
        waiting = {origin for origin, connection in self._open.values() if connection.is_waiting()}
        return next((origin for origin, _ in counts.most_common() if origin in waiting), "")

    def _drop_one(self, origin: str) -> bool:
        """Drop the oldest waiting connection, one that has never asked anything before all others."""
        waiting = [
            (key, connection)
            for key, (its_origin, connection) in self._open.items()
            if its_origin == origin and connection.is_waiting()
        ]
        if not waiting:
            return False
        key, connection = next((each for each in waiting if not each[1].has_asked()), waiting[0])
        self.leave(key)
        connection.drop()
        return True


def _network(address: str) -> str:
    """Return whom an address belongs to: in IPv6 a household has 2^64 of them."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return str(parsed)
