"""What the installer has set for the Modbus server, read from the configuration at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from zoneinfo import ZoneInfo

from loadmgmt.energy_manager import LifeSign, Settings
from station.domain.configuration.checks import MAINS_CEILING
from station.domain.units import PAUSE, MilliAmpere
from station.services import configuration, identity

# An IPv4 address written as one of IPv6 begins with so many fixed bits.
_MAPPED_BITS = 96


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where the server listens, for whom, and what it shows; `clients` empty: everybody."""

    limits: Settings = field(default_factory=Settings)
    ports: tuple[int, ...] = ()
    clients: tuple[IPv4Network | IPv6Network, ...] = ()
    discloses_cards: bool = False
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    model: str = ""
    serial: str = ""
    mains_ceiling: MilliAmpere = PAUSE

    def admits(self, address: str) -> bool:
        """Return whether somebody at this address may connect."""
        if not self.clients:
            return True
        client: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        return any(client.version == network.version and client in network for network in self.clients)


def networks(items: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return addresses and networks as written in the configuration."""
    return tuple(_plain(ip_network(item)) for item in items)


def _plain(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Return an IPv4 network that is written as one of IPv6 (::ffff:192.0.2.7) as clients are compared with it."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def read() -> ServerSettings:
    """Read the settings in force."""
    station = identity.load()
    port = configuration.get_int("/modbus/port")
    return ServerSettings(
        limits=Settings(
            enabled=configuration.get_bool("/modbus/enabled"),
            read_only=configuration.get_bool("/modbus/readOnly"),
            watchdog_s=configuration.get_int("/modbus/watchdogS"),
            fallback=MilliAmpere(configuration.get_int("/modbus/fallbackCurrent")),
            life_sign=LifeSign(configuration.get("/modbus/lifeSign")),
        ),
        ports=tuple(range(port, port + station.connectors)),
        clients=networks(configuration.get_list("/modbus/clients")),
        discloses_cards=configuration.get_bool("/modbus/discloseCards"),
        zone=configuration.zone(),
        model=station.model,
        serial=station.serial,
        mains_ceiling=MilliAmpere(configuration.get_int(MAINS_CEILING)),
    )
