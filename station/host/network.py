"""The network interfaces of the computer, read without any service."""

from dataclasses import dataclass
from pathlib import Path

from station.host.addresses import outside_addresses
from station.host.simulated import HostFile

_NO_GATEWAY = "00000000"
_ROUTE_FIELDS = 3


@dataclass(frozen=True)
class KernelNetwork:
    """Asks the kernel."""

    def addresses(self) -> tuple[str, ...]:
        return outside_addresses()

    def uplink_up(self) -> bool:
        """Return whether the kernel has a default route."""
        try:
            routes = Path("/proc/net/route").read_text().splitlines()[1:]
        except OSError:
            return True
        return any(_is_default(route.split()) for route in routes) or _has_ipv6_default()


@dataclass(frozen=True)
class SimulatedNetwork(KernelNetwork):
    """The computer's own addresses, with a link to the backend that the simulator can cut."""

    file: HostFile

    def uplink_up(self) -> bool:
        return self.file.read().backend_link


def _is_default(fields: list[str]) -> bool:
    return len(fields) > _ROUTE_FIELDS and fields[1] == _NO_GATEWAY


def _has_ipv6_default() -> bool:
    try:
        routes = Path("/proc/net/ipv6_route").read_text().splitlines()
    except OSError:
        return False
    # Destination ::/0 over a real interface; the kernel lists an unreachable one on lo.
    return any(route.startswith("0" * 32 + " 00 ") and not route.endswith(" lo") for route in routes)
