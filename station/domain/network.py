"""The settings of the external interface: what may be set, and what a person's typing means."""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import Any, Self

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface

# The USB service port has 192.168.32.1 on every station (spec/pages.md).
SERVICE_NETWORK = ipaddress.ip_network("192.168.32.0/24")
# RFC 1122, section 3.2.1.3: "this network", no address of a machine.
_THIS_NETWORK = ipaddress.ip_network("0.0.0.0/8")
# The manual's example; what a station in shared mode uses unless somebody chooses another.
SHARED_DEFAULT = IPv4Interface("192.168.30.50/24")
TRIAL_S = 60
_SHORTEST_IPV4_PREFIX, _LONGEST_IPV4_PREFIX = 8, 30
_SHORTEST_IPV6_PREFIX, _LONGEST_IPV6_PREFIX = 8, 128
FIELDS = ("address", "netmask", "gateway", "dns")
_SURROUNDINGS = " \t\r\n,;"
# German keypads have a comma where other ones have a point.
_COMMAS = re.compile(r"\d+(,\d+){3}(/\d+)?")


class Method(StrEnum):
    """Where the addresses of a family come from."""

    AUTO = "auto"
    MANUAL = "manual"
    SHARED = "shared"
    OTHER = "other"  # set by somebody else on the computer to what this page does not offer; it is left as it is


class Family(StrEnum):
    """The two kinds of addresses."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


@dataclass(frozen=True, kw_only=True)
class FamilySettings:
    """What one family is set to; the address with its network is there for manual and shared only."""

    method: Method = Method.AUTO
    interface: Interface | None = None
    gateway: Address | None = None
    dns: Address | None = None


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """What the external interface is set to."""

    ipv4: FamilySettings = field(default_factory=FamilySettings)
    ipv6: FamilySettings = field(default_factory=FamilySettings)
    never_default: bool = False

    def family(self, family: Family) -> FamilySettings:
        """Return the settings of a family."""
        return self.ipv4 if family is Family.IPV4 else self.ipv6

    def stored(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "never_default": self.never_default,
            **{
                family.value: {
                    "method": each.method.value,
                    "interface": str(each.interface or ""),
                    "gateway": str(each.gateway or ""),
                    "dns": str(each.dns or ""),
                }
                for family in Family
                for each in (self.family(family),)
            },
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """Read what `stored` has returned. Raises ValueError, KeyError or TypeError for anything else."""
        return cls(
            ipv4=_family_from_stored(stored["ipv4"]),
            ipv6=_family_from_stored(stored["ipv6"]),
            never_default=bool(stored["never_default"]),
        )

    @property
    def fixed_addresses(self) -> tuple[str, ...]:
        """Return the addresses the station will have for certain."""
        return tuple(str(each.interface.ip) for each in (self.ipv4, self.ipv6) if each.interface is not None)


def _family_from_stored(stored: Mapping[str, str]) -> FamilySettings:
    return FamilySettings(
        method=Method(stored["method"]),
        interface=ipaddress.ip_interface(stored["interface"]) if stored["interface"] else None,
        gateway=ipaddress.ip_address(stored["gateway"]) if stored["gateway"] else None,
        dns=ipaddress.ip_address(stored["dns"]) if stored["dns"] else None,
    )


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a field cannot be taken; `code` names the reason, `value` what was typed."""

    field: str
    code: str
    value: str = ""


class SettingsRefused(ValueError):
    """What was entered cannot be set."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(", ".join(f"{each.field}: {each.code}" for each in self.problems))


def trimmed(text: str) -> str:
    """Return what somebody meant to type: without blanks and commas around it, points for commas between numbers."""
    inner = text.strip(_SURROUNDINGS)
    return inner.replace(",", ".") if _COMMAS.fullmatch(inner) else inner


def read(entered: Mapping[str, str]) -> NetworkSettings:
    """Return the settings that a form's fields describe. Raises SettingsRefused with all that is wrong.

    Fields: `ipv4-method`, `-address`, `-netmask`, `-gateway`, `-dns`, the same for `ipv6`, and `never-default`.
    """
    problems: list[Problem] = []
    never_default = entered.get("never-default", "") == "true"
    families = {}
    for family in Family:
        given = {name: trimmed(entered.get(f"{family}-{name}", "")) for name in FIELDS}
        reader = _Reader(family, given, problems, never_default=never_default)
        families[family] = reader.read(entered.get(f"{family}-method", ""))
    if problems:
        raise SettingsRefused(problems)
    return NetworkSettings(ipv4=families[Family.IPV4], ipv6=families[Family.IPV6], never_default=never_default)


class _Unfit(ValueError):
    """A field cannot be taken; the text is the code."""


class _Reader:
    """Reads the fields of one family and collects what is wrong with them."""

    def __init__(
        self, family: Family, given: Mapping[str, str], problems: list[Problem], *, never_default: bool
    ) -> None:
        self._family, self._given, self._problems = family, given, problems
        self._never_default = never_default

    def read(self, method_text: str) -> FamilySettings:
        try:
            method = Method(method_text)
        except ValueError:
            self._refuse("method", "unknown_method")
            return FamilySettings()
        if method is Method.SHARED and self._family is Family.IPV6:
            self._refuse("method", "unknown_method")
            return FamilySettings()
        if method in {Method.AUTO, Method.OTHER}:
            return FamilySettings(method=method)
        interface = self._interface(default=SHARED_DEFAULT if method is Method.SHARED else None)
        if method is Method.SHARED:
            if interface is not None and interface.network.overlaps(SERVICE_NETWORK):
                self._refuse("address", "service_network")
            return FamilySettings(method=method, interface=interface)
        return FamilySettings(
            method=method,
            interface=interface,
            gateway=self._gateway(interface),
            dns=self._try("dns", self._dns),
        )

    def _refuse(self, name: str, code: str) -> None:
        self._problems.append(Problem(field=f"{self._family}-{name}", code=code, value=self._given.get(name, "")))

    def _try(self, name: str, reader: Callable[[str], Address]) -> Address | None:
        text = self._given[name]
        if not text:
            return None
        try:
            return reader(text)
        except _Unfit as unfit:
            self._refuse(name, str(unfit))
            return None

    def _interface(self, *, default: Interface | None) -> Interface | None:
        text, netmask = self._given["address"], self._given["netmask"]
        if not text and not netmask and default is not None:
            return default
        # "192.168.30.50/24" says both.
        text, slash, suffix = text.partition("/")
        netmask = netmask or suffix
        prefix = self._prefix(netmask)
        if slash and prefix is not None and suffix and self._prefix_of(suffix) not in {None, prefix}:
            self._refuse("netmask", "contradicts_address")
        if not text:
            self._refuse("address", "address_missing")
            return None
        try:
            address = self._address(text)
        except _Unfit as unfit:
            self._refuse("address", str(unfit))
            return None
        if prefix is None:
            return None
        interface: Interface = ipaddress.ip_interface(f"{address}/{prefix}")
        problem = _unfit_in_network(interface)
        if problem:
            self._refuse("address", problem)
            return None
        return interface

    def _prefix(self, text: str) -> int | None:
        if not text:
            self._refuse("netmask", "netmask_missing")
            return None
        prefix = self._prefix_of(text)
        if prefix is None:
            self._refuse("netmask", "no_netmask")
            return None
        lowest, highest = (
            (_SHORTEST_IPV4_PREFIX, _LONGEST_IPV4_PREFIX)
            if self._family is Family.IPV4
            else (_SHORTEST_IPV6_PREFIX, _LONGEST_IPV6_PREFIX)
        )
        if not lowest <= prefix <= highest:
            self._refuse("netmask", "prefix_out_of_range")
            return None
        return prefix

    def _prefix_of(self, text: str) -> int | None:
        digits = text.removeprefix("/")
        # "٢٤" is a number as well, and "024" the octal 20 of other programs.
        if digits.isascii() and digits.isdigit():
            return int(digits) if len(digits) <= len("128") and str(int(digits)) == digits else None
        if self._family is Family.IPV6:
            return None
        bits = _ipv4_bits(digits)
        if bits is None or "01" in bits:
            return None
        return bits.count("1")

    def _address(self, text: str) -> Address:
        address = self._parse(text)
        problem = _unfit_for_a_station(address)
        if problem:
            raise _Unfit(problem)
        return address

    def _parse(self, text: str) -> Address:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            raise _Unfit("no_address") from None
        if address.version != (4 if self._family is Family.IPV4 else 6):
            raise _Unfit("other_family")
        if isinstance(address, IPv6Address) and (address.scope_id or address.ipv4_mapped is not None):
            raise _Unfit("no_address")
        return address

    def _gateway(self, interface: Interface | None) -> Address | None:
        def check(text: str) -> Address:
            gateway = self._parse(text)
            if self._never_default:
                raise _Unfit("gateway_unused")
            if gateway.is_link_local and self._family is Family.IPV6:
                return gateway
            problem = _unfit_for_a_station(gateway)
            if problem:
                raise _Unfit(problem)
            if interface is not None:
                if gateway not in interface.network:
                    raise _Unfit("gateway_outside")
                if gateway == interface.ip:
                    raise _Unfit("gateway_is_station")
                if _unfit_in_network(ipaddress.ip_interface(f"{gateway}/{interface.network.prefixlen}")):
                    raise _Unfit("gateway_outside")
            return gateway

        return self._try("gateway", check)

    def _dns(self, text: str) -> Address:
        address = self._parse(text)
        problem = _unfit_for_a_station(address)
        if problem:
            raise _Unfit(problem)
        return address


def _unfit_for_a_station(address: Address) -> str:
    """Return why no machine of the site can have this address; empty when one can."""
    if address in SERVICE_NETWORK:
        return "service_network"
    if address.is_loopback:
        return "loopback"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified or address == IPv4Address("255.255.255.255"):
        return "unspecified"
    if address.is_link_local:
        return "link_local"
    if isinstance(address, IPv4Address) and (address.is_reserved or address in _THIS_NETWORK):
        return "reserved"
    return ""


def _unfit_in_network(interface: Interface) -> str:
    if isinstance(interface, IPv6Interface):
        return ""
    if interface.ip == interface.network.network_address:
        return "network_address"
    if interface.ip == interface.network.broadcast_address:
        return "broadcast_address"
    return ""


def _ipv4_bits(text: str) -> str | None:
    try:
        return f"{int(IPv4Address(text)):032b}"
    except ValueError:
        return None
