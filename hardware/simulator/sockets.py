"""Where the control API listens: a loopback port, and always a Unix socket in the simulator's folder."""

import ipaddress
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CONTROL_SOCKET = "control.sock"


class ControlAddressRefused(Exception):
    """The control API would be reachable from outside; whoever reaches it moves cars and contactors."""

    def __init__(self, host: str) -> None:
        super().__init__(f"the control API listens on loopback addresses only, not on {host!r}")


def listen_on_loopback(host: str, port: int) -> socket.socket:
    """Open the port of the control API; raises ControlAddressRefused, or OSError when it is taken."""
    address = ipaddress.ip_address("127.0.0.1") if host == "localhost" else _address(host)
    if not address.is_loopback:
        raise ControlAddressRefused(host)
    family = socket.AF_INET6 if isinstance(address, ipaddress.IPv6Address) else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def short_path(path: Path) -> Iterator[str]:
    """Name a socket by its folder's descriptor, as the address of a Unix socket ends after 107 bytes."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{path.name}"
    finally:
        os.close(descriptor)


def listen_in_folder(path: Path) -> socket.socket:
    """Open the Unix socket at `path`, in the place of one a killed process left; only its user may connect."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with short_path(path) as address:
            listener.bind(address)
        path.chmod(0o600)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(host)
    except ValueError as error:
        raise ControlAddressRefused(host) from error
