"""What the connection to the backend is made of: its address, the chargebox ID, the bytes of the key."""

import re
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote, urlsplit

from station.domain.configuration.problems import InvalidValue
from station.domain.configuration.values import IDENTITY_PLACEHOLDER, SERIAL_PLACEHOLDER, text

MAX_IDENTITY_LENGTH = 48
# OCPP 1.6 security whitepaper A01: 16..20 bytes as hex. Backends that send plain text are common, so both are taken.
_HEX_KEY = re.compile(r"(?:[0-9A-Fa-f]{2}){16,20}")

# A host that ends in a number and is no address as it should be written: resolvers read 127.1 and 0x7f000001, too.
_NUMBER_LAST = re.compile(r"(^|\.)(0[xX][0-9A-Fa-f]*|[0-9]+)$")

_key_text = text(16, 40, ascii_only=True)


def authorization_key(value: str) -> str:
    """Accept a Basic-auth key of 16 to 40 printable characters (32 to 40 hex digits stand for bytes), or none."""
    return _key_text(value) if value.strip() else ""


def authorization_key_bytes(key: str) -> bytes:
    """Return the password that goes over the wire for a stored key."""
    return bytes.fromhex(key) if _HEX_KEY.fullmatch(key) else key.encode("ascii")


def resulting_identity(template: str, serial: str) -> str:
    """Return the chargebox ID that a template makes; raise `InvalidValue` when OCPP could not carry it."""
    identity = template.replace(SERIAL_PLACEHOLDER, serial)
    if not identity:
        raise InvalidValue("empty")
    if len(identity) > MAX_IDENTITY_LENGTH:
        raise InvalidValue("too_long", limit=MAX_IDENTITY_LENGTH)
    return identity


def endpoint(url: str, identity: str) -> str:
    """Return the address to connect to: the chargebox ID percent-encoded in its place, or as the last path element."""
    encoded = quote(identity, safe="")
    if IDENTITY_PLACEHOLDER in url:
        return url.replace(IDENTITY_PLACEHOLDER, encoded)
    return f"{url.rstrip('/')}/{encoded}"


def host_of(url: str, identity: str) -> str:
    """Return the host that an address leads to; empty when it has none."""
    try:
        return urlsplit(endpoint(url, identity)).hostname or ""
    except ValueError:
        return ""


def leads_inside(host: str) -> bool:
    """Return whether a host, as it is written, is this computer itself or reachable only from its own network port."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return _NUMBER_LAST.search(host) is not None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_link_local or address.is_unspecified
