"""What every protocol needs: who may be reached, how long to wait, how much to take, and a way to stop."""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from station.services.transfers.errors import AddressForbidden, ConnectionBroken, QuotaExceeded

BLOCK_BYTES = 64 * 1024
# The service port on the USB side has this network on every station (spec/pages.md).
_SERVICE_NETWORK = ipaddress.ip_network("192.168.32.0/24")
# RFC 6052: an IPv4 address behind a translator.
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _nothing() -> None:
    """Never cancel."""


def _forget(_where: str, _fingerprint: str) -> None:
    """Ignore a new host key."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """The conditions of one transfer.

    `check` is called for every block and raises `TransferCancelled` to stop; `on_new_host` is called for an SFTP server
    whose key is seen for the first time (where, fingerprint). `authorities` are PEM certificates trusted beside the
    system's.
    """

    known_hosts: Path
    authorities: str = ""
    allow_loopback: bool = False
    own_addresses: frozenset[str] = frozenset()
    timeout_s: float = 30.0
    most_bytes: int = 1_000_000_000
    check: Callable[[], None] = field(default=_nothing)
    on_new_host: Callable[[str, str], None] = field(default=_forget)

    def addresses(self, host: str, port: int) -> tuple[str, ...]:
        """Resolve a host name and refuse it if any of its addresses is forbidden.

        What is dialled afterwards is one of these addresses, so that a second answer of the name server cannot lead
        elsewhere. Raises `AddressForbidden` or `ConnectionBroken`.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectionBroken(f"{host}: the name is unknown") from error
        addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            self._refuse_forbidden(address)
        return addresses

    def _refuse_forbidden(self, text: str) -> None:
        address = _plain(ipaddress.ip_address(text.partition("%")[0]))
        if address.is_loopback:
            if not self.allow_loopback:
                raise AddressForbidden(f"{address} is the station itself")
            return
        if str(address) in self.own_addresses:
            raise AddressForbidden(f"{address} is the station itself")
        if address.is_link_local or address.is_unspecified or address.is_multicast:
            raise AddressForbidden(f"{address} is no place for files")
        if isinstance(address, ipaddress.IPv4Address) and address in _SERVICE_NETWORK:
            raise AddressForbidden(f"{address} is in the network of the service port")

    def dial(self, host: str, port: int) -> socket.socket:
        """Open a TCP connection to an address that was checked; raises `AddressForbidden` or `ConnectionBroken`."""
        problem: OSError | None = None
        for address in self.addresses(host, port):
            try:
                return socket.create_connection((address, port), timeout=self.timeout_s)
            except OSError as error:
                problem = error
        raise ConnectionBroken(f"{host}:{port}: no connection ({problem})") from problem

    def tls(self) -> ssl.SSLContext:
        """Make the client's side of TLS: at least 1.2, chain and name checked."""
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.authorities:
            context.load_verify_locations(cadata=self.authorities)
        return context

    def blocks(self, source: BinaryIO) -> Iterator[bytes]:
        """Read a file to be sent, block by block, until it is cancelled."""
        while block := source.read(BLOCK_BYTES):
            self.check()
            yield block


class Intake:
    """Writes what arrives, up to the quota."""

    def __init__(self, target: BinaryIO, exchange: Exchange) -> None:
        self._target = target
        self._exchange = exchange
        self.size = 0

    def announce(self, size: int | None) -> None:
        """Refuse a transfer whose announced size is too large; raises `QuotaExceeded`."""
        if size is not None and size > self._exchange.most_bytes:
            raise QuotaExceeded(f"the file has {size} bytes")

    def write(self, block: bytes) -> None:
        """Take the next block; raises `QuotaExceeded` or `TransferCancelled`."""
        self._exchange.check()
        self.size += len(block)
        if self.size > self._exchange.most_bytes:
            raise QuotaExceeded(f"the file has more than {self._exchange.most_bytes} bytes")
        self._target.write(block)


def _plain(address: _Address) -> _Address:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address
