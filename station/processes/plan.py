"""What one run of the station consists of: its addresses and what is simulated. Read from the command line."""

import argparse
import os
import socket
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

# 80 and 443, 8080 and 8443: the usual distance between the ports of HTTP and HTTPS.
_HTTPS_DISTANCE = 363
_HIGHEST_PORT = 65_535
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class AddressIsMalformed(ValueError):
    """A text is not HOST:PORT."""


@dataclass(frozen=True)
class Address:
    """A TCP address to listen at."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read HOST:PORT; an IPv6 host stands in brackets. Raises AddressIsMalformed."""
        host, separator, port = text.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > _HIGHEST_PORT:
            raise AddressIsMalformed(f"{text!r} is not HOST:PORT")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def reachable(self) -> "Address":
        """Return an address at which this machine reaches the listener."""
        return Address(_ANY.get(self.host, self.host), self.port)

    @property
    def is_loopback(self) -> bool:
        """Return whether nobody outside this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def occupied_by_another(self) -> OSError | None:
        """Try to listen there for a moment; return the error of the operating system."""
        try:
            with self._listen():
                return None
        except OSError as error:
            return error

    def settled(self) -> "Address":
        """Replace port 0 by one that is free; a host where nobody can listen keeps it for who says what is wrong."""
        if self.port:
            return self
        try:
            with self._listen() as listener:
                return Address(self.host, listener.getsockname()[1])
        except OSError:
            return self

    def _listen(self) -> socket.socket:
        family, kind, protocol, _, target = socket.getaddrinfo(
            self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(target)
            listener.listen(1)
        except OSError:
            listener.close()
            raise
        return listener


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One run of the station; `https_is_default`: nobody asked for this very port."""

    data: Path
    http: Address
    https: Address | None
    https_is_default: bool = False
    simulate: bool = False
    sim_control: Address | None = None
    demo_backend: Address | None = None
    display: Address | None = None

    @property
    def listeners(self) -> dict[str, Address]:
        """List every address that is opened, by the flag that names it."""
        return {
            flag: address
            for flag, address in (
                ("--http", self.http),
                ("--https", self.https),
                ("--sim-control", self.sim_control),
                ("--demo-backend", self.demo_backend),
                ("--display", self.display),
            )
            if address
        }

    @property
    def login_url(self) -> str:
        """Name the address a person on this machine opens."""
        address = self.https or self.http
        return f"{'https' if self.https else 'http'}://{address.reachable}/"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of a run."""

    def address(text: str) -> Address:
        try:
            return Address.parse(text)
        except AddressIsMalformed as problem:
            raise argparse.ArgumentTypeError(str(problem)) from problem

    def loopback(text: str) -> Address:
        parsed = address(text)
        if not parsed.is_loopback:
            raise argparse.ArgumentTypeError(f"{text!r} can be reached from outside; use 127.0.0.1")
        return parsed

    parser.add_argument("--data-dir", metavar="DIR", help="where the station keeps everything (default: ./data)")
    parser.add_argument("--http", type=address, default=Address("127.0.0.1", 8080), metavar="HOST:PORT")
    secure = parser.add_mutually_exclusive_group()
    secure.add_argument("--https", type=address, metavar="HOST:PORT", help="default: the HTTP port plus 363")
    secure.add_argument("--no-https", action="store_true", help="serve plain HTTP only")
    parser.add_argument("--simulate", action="store_true", help="play the hardware")
    parser.add_argument("--sim-control", type=loopback, metavar="HOST:PORT", help="control API of the simulator")
    parser.add_argument("--demo-backend", type=loopback, metavar="HOST:PORT", help="run a small OCPP backend there")
    parser.add_argument(
        "--display", type=loopback, metavar="HOST:PORT", help="the driver's display, for a full-screen browser"
    )


def plan_from(options: dict[str, object], data: Path) -> Plan:
    """Make the plan of parsed flags; port 0 becomes a free port."""
    http = _address(options, "http") or Address("127.0.0.1", 8080)
    http = http.settled()
    https = _address(options, "https")
    https_is_default = https is None and not options.get("no_https")
    if https_is_default:
        https = Address(http.host, http.port + _HTTPS_DISTANCE)
        if https.port > _HIGHEST_PORT or https.occupied_by_another():
            https = Address(http.host, 0)
    sim_control, demo_backend = _address(options, "sim_control"), _address(options, "demo_backend")
    display = _address(options, "display")
    return Plan(
        data=data,
        http=http,
        https=https.settled() if https else None,
        https_is_default=https_is_default,
        simulate=bool(options.get("simulate")) or sim_control is not None,
        sim_control=sim_control.settled() if sim_control else None,
        demo_backend=demo_backend.settled() if demo_backend else None,
        display=display.settled() if display else None,
    )


def _address(options: dict[str, object], name: str) -> Address | None:
    value = options.get(name)
    return value if isinstance(value, Address) else None


def set_environment(arguments: Sequence[str], environment: MutableMapping[str, str]) -> None:
    """Translate the flags into what `station.settings` reads; before Django loads them.

    Unknown flags and mistakes are left to the command itself, which reports them.
    """
    flags = {argument.partition("=")[0] for argument in arguments}
    command = arguments[0] if arguments else ""
    if command == "doctor":
        environment["STATION_LOOKS_ONLY"] = "1"
    if command not in {"runstation", "runprocess"}:
        return
    if flags & {"--simulate", "--sim-control"}:
        environment["STATION_SIMULATE"] = "1"
    if command == "runstation" or "--https" in flags:
        environment["STATION_HTTPS"] = "0" if "--no-https" in flags else "1"


def publish_origins(plan: Plan) -> None:
    """Tell the web process under which host:port pairs it is reached, and at which port the display is."""
    origins = [str(address.reachable) for address in (plan.http, plan.https) if address]
    os.environ["STATION_HTTP_ORIGINS"] = ",".join(origins)
    os.environ["STATION_DISPLAY_PORT"] = str(plan.display.port) if plan.display else ""
