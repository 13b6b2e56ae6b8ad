"""The addresses this computer has at this moment."""

import ipaddress
import re
from pathlib import Path

# The service port on the USB side has this address on every station (spec/pages.md).
SERVICE_ADDRESS = "192.168.32.1"
_IPV4_TABLE = Path("/proc/net/fib_trie")
_IPV6_TABLE = Path("/proc/net/if_inet6")
# In the kernel's table a leaf is followed by the kind of route; our own addresses are "/32 host LOCAL".
_OWN_IPV4 = re.compile(r"\|-- ([0-9.]+)\n\s+/32 host LOCAL")


def own_addresses() -> frozenset[str]:
    """Return all IPv4 and IPv6 addresses of this computer, loopback included."""
    return frozenset(_own_ipv4() | _own_ipv6())


def outside_addresses() -> tuple[str, ...]:
    """Return the addresses under which others can reach this computer, in a steady order."""
    addresses = (ipaddress.ip_address(address) for address in own_addresses())
    reachable = [address for address in addresses if not address.is_loopback and not address.is_link_local]
    return tuple(str(address) for address in sorted(reachable, key=lambda address: (address.version, int(address))))


def _own_ipv4() -> set[str]:
    try:
        table = _IPV4_TABLE.read_text(encoding="ascii")
    except OSError:
        return set()
    return set(_OWN_IPV4.findall(table))


def _own_ipv6() -> set[str]:
    try:
        lines = _IPV6_TABLE.read_text(encoding="ascii").splitlines()
    except OSError:
        return set()
    return {str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines if line.strip()}
