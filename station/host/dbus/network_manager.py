"""NetworkManager: what the external interface is set to, and changes that it takes back by itself.

A change is made to the profile of the interface in memory (UpdateUnsaved) under a checkpoint. A power cut, too,
therefore brings the old settings back; `keep` writes the profile to disk. Parts of the profile that the page does not
show stay as they are, its secrets included, which NetworkManager would erase otherwise.
"""

import os
import shutil
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_interface
from typing import Any, TypeVar

from station.domain.network import Address, Family, FamilySettings, Interface, Method, NetworkSettings
from station.host.dbus.bus import (
    AccessIsDenied,
    Bus,
    CallIsRefused,
    NoAnswer,
    ServiceAbsent,
    ServiceRefused,
    ValueIsInvalid,
    plain,
    run,
    variant,
)
from station.host.firewall import Networks, SettingMakesNoSense
from station.host.ports import ExternalInterface, NetworkUnavailable, TrialIsOver

SERVICE = "org.freedesktop.NetworkManager"
PATH = "/org/freedesktop/NetworkManager"
_SETTINGS_PATH = f"{PATH}/Settings"
_SETTINGS, _CONNECTION = f"{SERVICE}.Settings", f"{SERVICE}.Settings.Connection"
_DEVICE, _ACTIVE = f"{SERVICE}.Device", f"{SERVICE}.Connection.Active"
_NONE = "/"
_ETHERNET = "802-3-ethernet"
# NMCheckpointCreateFlags: a profile made for the trial goes with it.
_DELETE_NEW_CONNECTIONS = 0x02
# NMDeviceState
_UNMANAGED, _UNAVAILABLE = 10, 20
# Sections of an Ethernet profile whose secrets GetSettings leaves out and Update would erase.
_SECRET_SECTIONS = ("802-1x", "pppoe")
# Where a service finds programs; the station's own PATH may be shorter.
_PROGRAMS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_METHODS = {"auto": Method.AUTO, "manual": Method.MANUAL, "shared": Method.SHARED}
_REASONS = {
    ServiceAbsent: "service_absent",
    AccessIsDenied: "access_denied",
    NoAnswer: "no_answer",
    ValueIsInvalid: "invalid_value",
}
_Result = TypeVar("_Result")
Profile = dict[str, dict[str, Any]]


class NetworkManager:
    """The external interface, by NetworkManager."""

    def external(self) -> ExternalInterface:
        return _ask(_external)

    def prepare(self, settings: NetworkSettings, *, taken_back_after_s: int) -> str:
        return _ask(lambda bus: _prepare(bus, settings, taken_back_after_s))

    def activate(self) -> None:
        _ask(_activate)

    def is_on_trial(self, trial: str) -> bool:
        return _ask(lambda bus: _is_on_trial(bus, trial))

    def keep(self, trial: str) -> None:
        _ask(lambda bus: _keep(bus, trial))

    def take_back(self, trial: str) -> None:
        _ask(lambda bus: _take_back(bus, trial))

    def restore(self, settings: NetworkSettings) -> None:
        _ask(lambda bus: _restore(bus, settings))


def _ask(task: Callable[[Bus], Awaitable[_Result]]) -> _Result:
    try:
        return run(task)
    except ServiceRefused as refused:
        reason = next((code for kind, code in _REASONS.items() if isinstance(refused, kind)), "refused")
        raise NetworkUnavailable(reason, refused.text) from refused


@dataclass(frozen=True, kw_only=True)
class _Device:
    path: str
    properties: Mapping[str, Any]
    # The profile in use, else the one that NetworkManager would use; empty when there is none yet.
    profile: str

    @property
    def name(self) -> str:
        return str(self.properties["Interface"])


async def _device(bus: Bus) -> _Device:
    try:
        names = Networks.read(os.environ).lan
    except SettingMakesNoSense as nonsense:
        raise NetworkUnavailable("interface_absent", str(nonsense)) from nonsense
    found = {}
    for path in await bus.call(SERVICE, PATH, f"{SERVICE}.GetDevices"):
        properties = await bus.properties(SERVICE, path, _DEVICE)
        found[properties["Interface"]] = path, properties
    for name in names:
        if name in found:
            path, properties = found[name]
            if properties["State"] <= _UNMANAGED:
                raise NetworkUnavailable("unmanaged", name)
            return _Device(path=path, properties=properties, profile=await _profile_of(bus, properties))
    raise NetworkUnavailable("interface_absent", ", ".join(names))


async def _profile_of(bus: Bus, device: Mapping[str, Any]) -> str:
    if device["ActiveConnection"] != _NONE:
        return str(await bus.get(SERVICE, device["ActiveConnection"], f"{_ACTIVE}.Connection"))
    candidates = []
    for path in await bus.call(SERVICE, _SETTINGS_PATH, f"{_SETTINGS}.ListConnections"):
        connection = plain(await bus.call(SERVICE, path, f"{_CONNECTION}.GetSettings"))["connection"]
        # A profile without a name of an interface fits all of its kind; one with the name fits better.
        name = connection.get("interface-name", "")
        if (
            connection["type"] == _ETHERNET
            and name in {"", device["Interface"]}
            and connection.get("autoconnect", True)
        ):
            priority = connection.get("autoconnect-priority", 0), bool(name), connection.get("timestamp", 0)
            candidates.append((priority, path))
    return max(candidates)[1] if candidates else ""


async def _external(bus: Bus) -> ExternalInterface:
    device = await _device(bus)
    profile: Profile = {}
    if device.profile:
        profile = plain(await bus.call(SERVICE, device.profile, f"{_CONNECTION}.GetSettings"))
    settings = settings_of(profile)
    addresses, gateways, dns = [], [], []
    for version, family in ((4, Family.IPV4), (6, Family.IPV6)):
        path = device.properties[f"Ip{version}Config"]
        if path == _NONE:
            continue
        config = await bus.properties(SERVICE, path, f"{SERVICE}.IP{version}Config")
        addresses += [f"{each['address']}/{each['prefix']}" for each in config["AddressData"]]
        gateways += [config["Gateway"]] if config["Gateway"] else []
        dns += _nameservers(family, config)
    return ExternalInterface(
        name=device.name,
        mac=device.properties.get("HwAddress", ""),
        has_link=device.properties["State"] > _UNAVAILABLE,
        settings=settings,
        addresses=tuple(addresses),
        gateways=tuple(gateways),
        dns=tuple(dns),
        raw_methods=tuple(
            f"{family}: {profile[family]['method']}"
            for family in Family
            if settings.family(family).method is Method.OTHER
        ),
        shared_lacks="" if shutil.which("dnsmasq", path=_PROGRAMS) else "dnsmasq",
    )


def _nameservers(family: Family, config: Mapping[str, Any]) -> list[str]:
    if family is Family.IPV4:
        return [each["address"] for each in config.get("NameserverData", [])]
    return [str(IPv6Address(bytes(each))) for each in config.get("Nameservers", [])]


async def _prepare(bus: Bus, settings: NetworkSettings, taken_back_after_s: int) -> str:
    device = await _device(bus)
    arguments = [[device.path], taken_back_after_s, _DELETE_NEW_CONNECTIONS]
    checkpoint = str(await bus.call(SERVICE, PATH, f"{SERVICE}.CheckpointCreate", "aouu", arguments))
    try:
        await _write(bus, device, settings, in_memory=True)
    except ServiceRefused:
        # Nothing has changed yet; a checkpoint left behind would only keep the next change waiting.
        await bus.call(SERVICE, PATH, f"{SERVICE}.CheckpointDestroy", "o", [checkpoint])
        raise
    return checkpoint


async def _write(bus: Bus, device: _Device, settings: NetworkSettings, *, in_memory: bool) -> None:
    if not device.profile:
        method = "AddConnectionUnsaved" if in_memory else "AddConnection"
        profile = changed({"connection": _new_profile(device.name)}, settings)
        await bus.call(SERVICE, _SETTINGS_PATH, f"{_SETTINGS}.{method}", "a{sa{sv}}", [profile])
        return
    present: Profile = await bus.call(SERVICE, device.profile, f"{_CONNECTION}.GetSettings")
    for section in _SECRET_SECTIONS:
        if section in present:
            secrets = await bus.call(SERVICE, device.profile, f"{_CONNECTION}.GetSecrets", "s", [section])
            present[section] |= secrets.get(section, {})
    method = "UpdateUnsaved" if in_memory else "Update"
    await bus.call(SERVICE, device.profile, f"{_CONNECTION}.{method}", "a{sa{sv}}", [changed(present, settings)])


def _new_profile(interface: str) -> dict[str, Any]:
    return {
        "id": variant("s", f"Station {interface}"),
        "type": variant("s", _ETHERNET),
        "interface-name": variant("s", interface),
    }


async def _activate(bus: Bus) -> None:
    device = await _device(bus)
    if device.properties["State"] <= _UNAVAILABLE or not device.profile:
        # Without a link nothing can come up; NetworkManager does it by itself when the cable is plugged in.
        return
    arguments = [device.profile, device.path, _NONE]
    await bus.call(SERVICE, PATH, f"{SERVICE}.ActivateConnection", "ooo", arguments)


async def _is_on_trial(bus: Bus, trial: str) -> bool:
    return trial in await bus.get(SERVICE, PATH, f"{SERVICE}.Checkpoints")


async def _keep(bus: Bus, trial: str) -> None:
    device = await _device(bus)
    try:
        await bus.call(SERVICE, PATH, f"{SERVICE}.CheckpointDestroy", "o", [trial])
    except (CallIsRefused, ValueIsInvalid) as gone:
        raise TrialIsOver(str(gone)) from gone
    if device.profile:
        await bus.call(SERVICE, device.profile, f"{_CONNECTION}.Save")


async def _take_back(bus: Bus, trial: str) -> None:
    try:
        await bus.call(SERVICE, PATH, f"{SERVICE}.CheckpointRollback", "o", [trial])
    except (CallIsRefused, ValueIsInvalid) as gone:
        raise TrialIsOver(str(gone)) from gone


async def _restore(bus: Bus, settings: NetworkSettings) -> None:
    await _write(bus, await _device(bus), settings, in_memory=False)
    await _activate(bus)


def settings_of(profile: Mapping[str, Mapping[str, Any]]) -> NetworkSettings:
    """Return what a profile (plain values) sets; without one, NetworkManager asks for addresses by itself."""
    families = {family: _family_of(family, profile.get(family, {})) for family in Family}
    never = any(profile.get(family, {}).get("never-default", False) for family in Family)
    return NetworkSettings(ipv4=families[Family.IPV4], ipv6=families[Family.IPV6], never_default=never)


def _family_of(family: Family, section: Mapping[str, Any]) -> FamilySettings:
    method = _METHODS.get(section.get("method", "auto"), Method.OTHER)
    if method is Method.SHARED and family is Family.IPV6:
        method = Method.OTHER
    if method in {Method.AUTO, Method.OTHER}:
        return FamilySettings(method=method)
    first = next(iter(section.get("address-data", ())), None)
    gateway, dns = section.get("gateway"), _dns_of(family, section)
    return FamilySettings(
        method=method,
        interface=ip_interface(f"{first['address']}/{first['prefix']}") if first else None,
        gateway=ip_address(gateway) if gateway else None,
        dns=ip_address(dns[0]) if dns else None,
    )


def _dns_of(family: Family, section: Mapping[str, Any]) -> list[str]:
    """Return the name servers of a profile; NetworkManager before 1.42 knows the old form only."""
    if "dns-data" in section:
        return list(section["dns-data"])
    if family is Family.IPV4:
        return [socket.inet_ntoa(struct.pack("=I", each)) for each in section.get("dns", ())]
    return [str(IPv6Address(bytes(each))) for each in section.get("dns", ())]


def changed(profile: Profile, settings: NetworkSettings) -> Profile:
    """Return a profile (with D-Bus types) with these settings; whatever they do not speak of stays as it is."""
    new = {name: dict(section) for name, section in profile.items()}
    for family in Family:
        wanted = settings.family(family)
        if wanted.method is not Method.OTHER:
            new[family.value] = _changed_family(family, new.get(family.value, {}), wanted, settings.never_default)
    return new


def _changed_family(
    family: Family,
    section: dict[str, Any],
    wanted: FamilySettings,
    never_default: bool,  # noqa: FBT001 - a value
) -> dict[str, Any]:
    before = plain(section)
    # The old forms say the same in another way; with both, it would depend on the version which one counts.
    for name in ("addresses", "address-data", "gateway", "dns", "dns-data"):
        section.pop(name, None)
    if "route-data" in section:
        section.pop("routes", None)
    section["method"] = variant("s", wanted.method.value)
    section["never-default"] = variant("b", never_default)
    was_manual = before.get("method") == Method.MANUAL
    if wanted.interface is not None:
        # The page shows the first address and name server; further ones were set by somebody who needs them.
        more = before.get("address-data", [])[1:] if was_manual and wanted.method is Method.MANUAL else []
        section["address-data"] = variant("aa{sv}", [_address_data(wanted.interface), *map(_typed_address, more)])
    if wanted.gateway is not None:
        section["gateway"] = variant("s", str(wanted.gateway))
    if wanted.dns is not None:
        more_dns = _dns_of(family, before)[1:] if was_manual else []
        section["dns"], section["dns-data"] = _dns_forms(family, [str(wanted.dns), *more_dns])
    return section


def _address_data(interface: Interface) -> dict[str, Any]:
    return _typed_address({"address": str(interface.ip), "prefix": interface.network.prefixlen})


def _typed_address(address: Mapping[str, Any]) -> dict[str, Any]:
    return {"address": variant("s", address["address"]), "prefix": variant("u", address["prefix"])}


def _dns_forms(family: Family, servers: list[str]) -> tuple[Any, Any]:
    addresses: list[Address] = [ip_address(each) for each in servers]
    old = (
        variant("au", [struct.unpack("=I", each.packed)[0] for each in addresses])
        if family is Family.IPV4
        else variant("aay", [each.packed for each in addresses])
    )
    return old, variant("as", servers)
