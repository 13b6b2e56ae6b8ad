"""Where a master listens and where it is found, from one configuration key."""

from dataclasses import dataclass
from typing import Self

from station.host.firewall import CLUSTER_PORT

# All addresses of the computer, IPv4 and IPv6; the firewall decides which networks get through.
EVERY_ADDRESS = "*"


@dataclass(frozen=True)
class Target:
    """A host and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what the configuration holds (`host:port`, an IPv6 address in brackets); raise ValueError."""
        host, _colon, port = text.rpartition(":")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    @classmethod
    def to_listen(cls, text: str) -> Self:
        """Return where a master listens; nothing configured: at every address."""
        return cls.parse(text) if text else cls(EVERY_ADDRESS, CLUSTER_PORT)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
