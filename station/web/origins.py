"""Under which names and addresses the web interface may be asked, and how it is reached over HTTPS."""

import ipaddress
import os
from functools import lru_cache
from urllib.parse import SplitResult, urlsplit

from station.host import addresses
from station.services import configuration

# The service port's fixed address. Any website opened on the installer's laptop can name it, hence the allow-list.
_ALWAYS = frozenset({"localhost", "127.0.0.1", "::1", addresses.SERVICE_ADDRESS})
_ADDRESSES_KEPT_S = 5


def split_host(header: str) -> tuple[str, int | None]:
    """Split a Host header into name and port; raises ValueError for what is none."""
    parts = urlsplit(f"//{header}")
    if not parts.hostname or parts.path or parts.query or parts.fragment or "@" in header:
        raise ValueError(header)
    return parts.hostname.rstrip("."), parts.port


def is_own_host(header: str, *, now_s: float) -> bool:
    """Return whether a Host header names this station."""
    try:
        name, _ = split_host(header)
    except ValueError:
        return False
    if name in _ALWAYS or name in _configured_names():
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return name == f"{configuration.get('/ocpp/chargeBoxIdentity')}.local".lower()
    # An installer comes to a new address in the moment it is there: what is not known is looked up.
    return str(address) in _own_addresses(int(now_s // _ADDRESSES_KEPT_S)) or str(address) in addresses.own_addresses()


def https_port() -> int:
    """Return the port of HTTPS: the last origin the station is configured with, plain HTTP stands before it."""
    origins = _origins()
    return (origins[-1].port if origins else None) or 443


@lru_cache(maxsize=1)
def _own_addresses(_slot: int) -> frozenset[str]:
    return addresses.own_addresses()


@lru_cache(maxsize=1)
def _configured_names() -> frozenset[str]:
    return frozenset(parts.hostname for parts in _origins() if parts.hostname)


def _origins() -> list[SplitResult]:
    entries = os.environ.get("STATION_HTTP_ORIGINS", "").split(",")
    return [urlsplit(f"//{entry}") for entry in map(str.strip, entries) if entry]
