"""The network interfaces of the computer, read without any service."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import psutil

from station.host.ports import InterfaceAddress
from station.host.simulated import HostFile

_NO_GATEWAY = "00000000"
_ROUTE_FIELDS = 3


@dataclass(frozen=True)
class KernelNetwork:
    """Asks the kernel."""

    def addresses(self) -> tuple[InterfaceAddress, ...]:
        return tuple(
            InterfaceAddress(interface=name, address=entry.address, prefix=_prefix(entry.address, entry.netmask))
            for name, entries in sorted(psutil.net_if_addrs().items())
            for entry in entries
            if entry.family in (socket.AF_INET, socket.AF_INET6) and _is_useful(entry.address)
        )

    def uplink_up(self) -> bool:
        """Tell whether the kernel has a default route."""
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


def _is_useful(address: str) -> bool:
    # A link-local IPv6 address carries its interface ("fe80::1%eth0") and is of no use in a browser.
    if "%" in address:
        return False
    return not ip_address(address).is_loopback


def _prefix(address: str, netmask: str | None) -> int:
    if netmask is None:
        return ip_address(address).max_prefixlen
    if ":" in netmask:
        return bin(int(ip_address(netmask))).count("1")
    return ip_network(f"0.0.0.0/{netmask}").prefixlen


def _is_default(fields: list[str]) -> bool:
    return len(fields) > _ROUTE_FIELDS and fields[1] == _NO_GATEWAY


def _has_ipv6_default() -> bool:
    try:
        routes = Path("/proc/net/ipv6_route").read_text().splitlines()
    except OSError:
        return False
    # Destination ::/0 over a real interface; the kernel lists an unreachable one on lo.
    return any(route.startswith("0" * 32 + " 00 ") and not route.endswith(" lo") for route in routes)
