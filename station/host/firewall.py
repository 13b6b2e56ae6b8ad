"""What the firewall of a station lets in, and the program that loads it.

The station's processes may not change the firewall: they write down what is switched on (`Openings`), and
`station-firewall.service`, which has this one right, loads `deploy/station.nft` with it:

    python -m station.host.firewall RULES OPENINGS
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from station import private_files

# What /etc/station/station.env says: the names of the interfaces, and whether the site may reach the web interface.
SERVICE_INTERFACES, LAN_INTERFACES = "STATION_SERVICE_INTERFACES", "STATION_LAN_INTERFACES"
WEB_OVER_LAN = "STATION_WEB_OVER_LAN"
_WEB_PORTS = (80, 443)
_SSH_PORT = 22
# Where a master listens unless an address is set, and where stations of a cluster look for one another (RFC 6762).
CLUSTER_PORT = 6390
_MDNS_PORT = 5353
_HIGHEST_PORT = 65_535
# Linux: IFNAMSIZ is 16 with the closing zero; what nft would read as anything but a name is none.
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_NFT = "/usr/sbin/nft"


class SettingMakesNoSense(ValueError):
    """What /etc/station/station.env says cannot be used."""


@dataclass(frozen=True, kw_only=True)
class Openings:
    """What the product has switched on for the site's network."""

    modbus_ports: tuple[int, ...] = ()
    cluster_port: int | None = None
    # Stations of a cluster find one another: multicast DNS.
    mdns: bool = False
    vendor_ssh: bool = False
    # The interface at which the station gives out addresses and leads to the internet; empty when it does not.
    shared_interface: str = ""

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what the product wrote down. Whatever is missing or makes no sense stays closed."""
        try:
            stored = json.loads(file.read_text())
        except (OSError, ValueError):
            return cls()
        if not isinstance(stored, dict):
            return cls()
        modbus, cluster = stored.get("modbus_ports"), stored.get("cluster_port")
        shared = stored.get("shared_interface")
        return cls(
            modbus_ports=tuple(port for port in modbus if _is_port(port)) if isinstance(modbus, list) else (),
            cluster_port=cluster if _is_port(cluster) else None,
            mdns=stored.get("mdns") is True,
            vendor_ssh=stored.get("vendor_ssh") is True,
            shared_interface=shared if isinstance(shared, str) and _INTERFACE.fullmatch(shared) else "",
        )

    def write(self, file: Path) -> bool:
        """Write it down where it differs from what stands there, whole or not at all; return whether it did."""
        text = json.dumps(asdict(self)) + "\n"
        if file.exists() and file.read_text() == text:
            return False
        private_files.write(file, text.encode())
        return True

    @property
    def ports(self) -> tuple[int, ...]:
        """Return the TCP ports these are reached at."""
        cluster = () if self.cluster_port is None else (self.cluster_port,)
        return (*self.modbus_ports, *cluster, *((_SSH_PORT,) if self.vendor_ssh else ()))


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value <= _HIGHEST_PORT


@dataclass(frozen=True, kw_only=True)
class Networks:
    """Which interface leads where, and whether the site may reach the web interface; the service port always does."""

    service: tuple[str, ...] = ("service0",)
    lan: tuple[str, ...] = ("eth0",)
    web_over_lan: bool = True

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings of a unit. Raises SettingMakesNoSense."""
        web = environment.get(WEB_OVER_LAN, "yes")
        if web not in {"yes", "no"}:
            raise SettingMakesNoSense(f"{WEB_OVER_LAN} is {web!r}; write yes or no")
        return cls(
            service=_interfaces(environment, SERVICE_INTERFACES, cls.service),
            lan=_interfaces(environment, LAN_INTERFACES, cls.lan),
            web_over_lan=web == "yes",
        )


def _interfaces(environment: Mapping[str, str], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    words = tuple(environment.get(name, " ".join(default)).split())
    for word in words:
        if not _INTERFACE.fullmatch(word):
            raise SettingMakesNoSense(f"{name}: {word!r} is not the name of a network interface")
    return words


def elements(openings: Openings, networks: Networks) -> str:
    """Return the commands of nft that fill the sets of `deploy/station.nft`."""
    # Only an interface of the site is ever shared: neither the service port nor the modem.
    shared = tuple(name for name in networks.lan if name == openings.shared_interface)
    ports = {*openings.ports, *(_WEB_PORTS if networks.web_over_lan else ())}
    return "".join(
        (
            _fill("service_interfaces", (f'"{name}"' for name in networks.service)),
            _fill("lan_interfaces", (f'"{name}"' for name in networks.lan)),
            _fill("shared_interfaces", (f'"{name}"' for name in shared)),
            _fill("lan_ports", (str(port) for port in sorted(ports))),
            _fill("lan_udp_ports", (str(_MDNS_PORT),) if openings.mdns else ()),
        )
    )


def _fill(name: str, members: Iterable[str]) -> str:
    listed = ", ".join(members)
    return f"flush set inet station {name}\n" + (f"add element inet station {name} {{ {listed} }}\n" if listed else "")


def load(transaction: str) -> None:
    """Load everything in one transaction: there is no moment without a firewall. Raises CalledProcessError."""
    subprocess.run([_NFT, "--file", "-"], input=transaction, text=True, check=True)  # noqa: S603 - fixed words only


def main(arguments: Sequence[str]) -> int:
    """Load the firewall from the two files named; return the exit status."""
    rules, openings = (Path(argument) for argument in arguments)
    try:
        networks, loaded = Networks.read(os.environ), None
        # systemd does not see what is written while this runs.
        while (wanted := Openings.read(openings)) != loaded:
            load(f"{rules.read_text()}\n{elements(wanted, networks)}")
            loaded = wanted
    except SettingMakesNoSense as refusal:
        # The rules as they stand in the file: the service port is open, nothing else.
        load(rules.read_text())
        sys.stderr.write(f"/etc/station/station.env: {refusal}. Until then only the service port is open.\n")
        return os.EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
