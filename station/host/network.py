"""The network interfaces of the computer."""

import json
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from station import clock, private_files
from station.domain.network import Family, Method, NetworkSettings
from station.host.addresses import outside_addresses
from station.host.dbus.network_manager import NetworkManager
from station.host.ports import ExternalInterface, NetworkUnavailable, TrialIsOver
from station.host.simulated.host_file import HostFile

_NO_GATEWAY = "00000000"
_ROUTE_FIELDS = 3
# What a router at the simulated site gives the station; the MAC address is from the range that anybody may use.
_LEASED, _ROUTER = "192.168.178.41/24", "192.168.178.1"
_LEASED_IPV6, _ROUTER_IPV6 = "2001:db8:178::41/64", "fe80::1"
_SIMULATED_MAC = "02:00:5e:10:00:01"


class KernelAddresses:
    """What the kernel knows without any service."""

    def addresses(self) -> tuple[str, ...]:
        """List the addresses others can reach the station at."""
        return outside_addresses()

    def uplink_up(self) -> bool:
        """Return whether the kernel has a default route."""
        try:
            routes = Path("/proc/net/route").read_text().splitlines()[1:]
        except OSError:
            return True
        return any(_is_default(route.split()) for route in routes) or _has_ipv6_default()


@dataclass(frozen=True)
class ComputerNetwork(KernelAddresses, NetworkManager):
    """A real station: the kernel is asked for what is needed often, NetworkManager for the rest."""


@dataclass(frozen=True)
class SimulatedNetwork(KernelAddresses):
    """A site's network that exists in a file: the desk this runs on keeps its addresses.

    A trial that nobody keeps ends by the clock, as NetworkManager's does, whoever looks next and whatever was restarted
    meanwhile.
    """

    file: HostFile

    @property
    def state(self) -> Path:
        """Return the file that holds this network."""
        return self.file.path.with_name("network.json")

    def uplink_up(self) -> bool:
        return self.file.read().backend_link

    def external(self) -> ExternalInterface:
        settings = NetworkSettings.from_stored(self._load()["in_force"])
        return ExternalInterface(
            name="eth0",
            mac=_SIMULATED_MAC,
            has_link=True,
            settings=settings,
            addresses=tuple(str(each) for each in _addresses(settings)),
            gateways=tuple(_gateways(settings)),
            dns=tuple(_dns(settings)),
        )

    def prepare(self, settings: NetworkSettings, *, taken_back_after_s: int) -> str:
        stored = self._load()
        if stored["trial"]:
            raise NetworkUnavailable("on_trial")
        # Steady clocks begin anew with the computer, and so do the names of trials.
        until_s = clock.monotonic_s() + taken_back_after_s
        name = f"{clock.boot_id()}/{until_s:.3f}"
        trial = {"name": name, "boot": clock.boot_id(), "until_s": until_s, "wanted": settings.stored()}
        self._save(stored | {"trial": trial, "before": stored["in_force"]})
        return name

    def activate(self) -> None:
        stored = self._load()
        if stored["trial"]:
            self._save(stored | {"in_force": stored["trial"]["wanted"]})

    def is_on_trial(self, trial: str) -> bool:
        present = self._load()["trial"]
        return bool(present) and present["name"] == trial

    def keep(self, trial: str) -> None:
        stored = self._trying(trial)
        self._save(stored | {"trial": None, "before": None})

    def take_back(self, trial: str) -> None:
        stored = self._trying(trial)
        self._save(stored | {"trial": None, "before": None, "in_force": stored["before"]})

    def restore(self, settings: NetworkSettings) -> None:
        self._save({"in_force": settings.stored(), "trial": None, "before": None})

    def _trying(self, trial: str) -> dict[str, Any]:
        stored = self._load()
        if not stored["trial"] or stored["trial"]["name"] != trial:
            raise TrialIsOver
        return stored

    def _load(self) -> dict[str, Any]:
        try:
            stored: dict[str, Any] = json.loads(self.state.read_text())
            NetworkSettings.from_stored(stored["in_force"])
            trial = stored["trial"]
            over = trial and (trial["boot"] != clock.boot_id() or clock.monotonic_s() >= trial["until_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return {"in_force": NetworkSettings().stored(), "trial": None, "before": None}
        return stored | {"trial": None, "before": None, "in_force": stored["before"]} if over else stored

    def _save(self, stored: dict[str, Any]) -> None:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        private_files.write(self.state, json.dumps(stored).encode())


def _addresses(settings: NetworkSettings) -> list[object]:
    return [
        settings.ipv4.interface or ip_interface(_LEASED),
        settings.ipv6.interface or ip_interface(_LEASED_IPV6),
    ]


def _gateways(settings: NetworkSettings) -> list[str]:
    if settings.never_default:
        return []
    by_router = {Family.IPV4: _ROUTER, Family.IPV6: _ROUTER_IPV6}
    found = []
    for family in Family:
        each = settings.family(family)
        if each.method is Method.AUTO:
            found.append(by_router[family])
        elif each.gateway is not None:
            found.append(str(each.gateway))
    return found


def _dns(settings: NetworkSettings) -> list[str]:
    own = [str(each.dns) for each in (settings.ipv4, settings.ipv6) if each.dns is not None]
    return own or ([_ROUTER] if settings.ipv4.method is Method.AUTO else [])


def _is_default(fields: list[str]) -> bool:
    return len(fields) > _ROUTE_FIELDS and fields[1] == _NO_GATEWAY


def _has_ipv6_default() -> bool:
    try:
        routes = Path("/proc/net/ipv6_route").read_text().splitlines()
    except OSError:
        return False
    # Destination ::/0 over a real interface; the kernel lists an unreachable one on lo.
    return any(route.startswith("0" * 32 + " 00 ") and not route.endswith(" lo") for route in routes)
