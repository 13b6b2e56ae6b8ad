"""The station's own connection over the mobile network, kept by NetworkManager as a profile of the type `gsm`.

The PIN is not part of it: NetworkManager would send a wrong one again, and each time costs a try.
"""

from typing import Any

from station.host.dbus.bus import Bus, CallIsRefused, ValueIsInvalid, plain, variant
from station.host.ports import MobileProfile

SERVICE, _PATH = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
_SETTINGS, _SETTINGS_PATH = f"{SERVICE}.Settings", f"{_PATH}/Settings"
_CONNECTION = f"{_SETTINGS}.Connection"
# The profile is found again by this, whatever somebody calls it.
UUID = "6a1f4e52-2b0c-5f0e-9c1d-3d8f52f0a7b1"
# Behind a cable (100) and wireless (600): the mobile network costs most.
_ROUTE_METRIC = 700
# What the station does not want to be asked for, by the way it may show who it is (pppd's words).
_EVERYTHING = ("refuse-eap", "refuse-chap", "refuse-mschap", "refuse-mschapv2", "refuse-pap")
_ALLOWED = {
    "chap": {"refuse-chap"},
    "pap": {"refuse-pap"},
    "chap_or_pap": {"refuse-chap", "refuse-pap"},
    "none": set(),
}


def wanted(profile: MobileProfile) -> dict[str, dict[str, Any]]:
    """Return the profile as NetworkManager keeps it, without the types of its values."""
    allowed = _ALLOWED[profile.authentication]
    gsm: dict[str, Any] = {"apn": profile.apn} if profile.apn else {"auto-config": True}
    if profile.user:
        gsm["username"] = profile.user
    if profile.password:
        gsm["password"] = profile.password
    # Without any method allowed a user name would have nowhere to go; then nothing is refused, and nothing asked for.
    ppp = {name: True for name in _EVERYTHING if allowed and name not in allowed}
    return {
        "connection": {"id": "Station mobile", "uuid": UUID, "type": "gsm", "autoconnect": True},
        "gsm": gsm,
        "ppp": ppp,
        "ipv4": {"method": "auto", "route-metric": _ROUTE_METRIC},
        "ipv6": {"method": "auto", "route-metric": _ROUTE_METRIC},
    }


async def apply(bus: Bus, profile: MobileProfile) -> bool:
    """Make or change the profile and connect with it; return whether anything was different. Raises ServiceRefused."""
    target = wanted(profile)
    path = await _find(bus)
    if path is not None and await _fits(bus, path, target):
        return False
    typed = {
        section: {name: _typed(name, value) for name, value in values.items()} for section, values in target.items()
    }
    if path is None:
        path = str(await bus.call(SERVICE, _SETTINGS_PATH, f"{_SETTINGS}.AddConnection", "a{sa{sv}}", [typed]))
    else:
        await bus.call(SERVICE, path, f"{_CONNECTION}.Update", "a{sa{sv}}", [typed])
    try:
        # The device is left to NetworkManager, which finds the modem's.
        await bus.call(SERVICE, _PATH, f"{SERVICE}.ActivateConnection", "ooo", [path, "/", "/"])
    except CallIsRefused:
        # The modem is not ready yet; NetworkManager connects by itself as soon as it is.
        return True
    return True


async def _find(bus: Bus) -> str | None:
    try:
        path: str = await bus.call(SERVICE, _SETTINGS_PATH, f"{_SETTINGS}.GetConnectionByUuid", "s", [UUID])
    except (CallIsRefused, ValueIsInvalid):
        # It says so when there is none.
        return None
    return path


async def _fits(bus: Bus, path: str, target: dict[str, dict[str, Any]]) -> bool:
    present = plain(await bus.call(SERVICE, path, f"{_CONNECTION}.GetSettings"))
    try:
        secrets = plain(await bus.call(SERVICE, path, f"{_CONNECTION}.GetSecrets", "s", ["gsm"]))
    except CallIsRefused:
        secrets = {}
    kept = {**present.get("gsm", {}), **secrets.get("gsm", {})}
    # What is not given has its default, and NetworkManager leaves defaults out.
    gsm = {name: kept.get(name) for name in ("apn", "auto-config", "username", "password") if kept.get(name)}
    ppp = {name: True for name in _EVERYTHING if present.get("ppp", {}).get(name)}
    return gsm == target["gsm"] and ppp == target["ppp"]


def _typed(name: str, value: object) -> Any:
    if isinstance(value, bool):
        return variant("b", value)
    return variant("x", value) if name == "route-metric" else variant("s", value)
