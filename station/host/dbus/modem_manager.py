"""The mobile modem over ModemManager. Modems come and go with every reset, so their path is looked up each time."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from station.domain.mobile import DataLink, ModemStatus, Registration, SimState
from station.host import uplink
from station.host.dbus import gsm_profile
from station.host.dbus.bus import Bus, CallIsRefused, ServiceRefused, ValueIsInvalid, plain, run
from station.host.ports import MobileProfile

_SERVICE, _ROOT = "org.freedesktop.ModemManager1", "/org/freedesktop/ModemManager1"
_MODEM, _3GPP, _SIGNAL = f"{_SERVICE}.Modem", f"{_SERVICE}.Modem.Modem3gpp", f"{_SERVICE}.Modem.Signal"
_SIM, _BEARER = f"{_SERVICE}.Sim", f"{_SERVICE}.Bearer"
_OBJECTS = "org.freedesktop.DBus.ObjectManager.GetManagedObjects"

_NOTHING = "/"
# MMModemState
_FAILED, _INITIALIZING, _LOCKED, _DISABLED, _DISABLING = -1, 1, 2, 3, 4
_REGISTERED, _CONNECTING, _CONNECTED = 8, 10, 11
# MMModemStateFailedReason
_SIM_MISSING, _SIM_ERROR = 2, 3
# MMModemLock
_SIM_PIN, _SIM_PUK = 2, 4
# MMModem3gppRegistrationState; those that allow no data (SMS only, emergency only) are no registration.
_REGISTRATIONS = {
    1: Registration.HOME,
    2: Registration.SEARCHING,
    3: Registration.DENIED,
    5: Registration.ROAMING,
    8: Registration.DENIED,
    9: Registration.HOME,
    10: Registration.ROAMING,
}
# MMModemAccessTechnology, the best first.
_TECHNOLOGIES = (
    (1 << 15, "5G"),
    (1 << 14, "LTE"),
    (1 << 16, "LTE-M"),
    (1 << 17, "NB-IoT"),
    (1 << 9, "HSPA+"),
    (1 << 8, "HSPA"),
    (1 << 7, "HSPA"),
    (1 << 6, "HSPA"),
    (1 << 5, "UMTS"),
    (1 << 4, "EDGE"),
    (1 << 3, "GPRS"),
    (1 << 1, "GSM"),
)
# MMModemMode
_MODES = {"2g": 1 << 1, "3g": 1 << 2, "4g": 1 << 3}
# Last words of the errors a network gives for a wrong access point, user name or password (3GPP TS 24.008 annex I).
_WRONG_APN = ("apn", "authenticat", "serviceoption", "activationreject")
_WRONG_PIN = "IncorrectPassword"
_PIN_USED_UP = "SimPuk"
# How often it measures: while somebody mounts an antenna, and otherwise.
_OFTEN_S, _SELDOM_S = 1, 10


@dataclass(frozen=True)
class ModemManager:
    """The modem of a real station."""

    def examine(self, *, often: bool = False) -> ModemStatus | None:
        async def task(bus: Bus) -> ModemStatus | None:
            found = await _find(bus)
            return None if found is None else await _examine(bus, found, often=often)

        return run(task)

    def apply(self, profile: MobileProfile) -> bool:
        async def task(bus: Bus) -> bool:
            found = await _find(bus)
            if found is None:
                return False
            has_changed = await _use_modes(bus, found, profile.modes)
            return await gsm_profile.apply(bus, profile) or has_changed

        return run(task)

    def unlock(self, pin: str) -> bool:
        async def task(bus: Bus) -> bool:
            found = await _find(bus)
            if found is None or found.sim == _NOTHING:
                raise CallIsRefused(_SERVICE, "there is no SIM card")
            try:
                await bus.call(_SERVICE, found.sim, f"{_SIM}.SendPin", "s", [pin])
            except CallIsRefused as refusal:
                if refusal.name.endswith((_WRONG_PIN, _PIN_USED_UP)):
                    return False
                raise
            return True

        return run(task)


@dataclass(frozen=True)
class _Modem:
    """One modem at this moment, with the properties of each interface."""

    path: str
    interfaces: dict[str, dict[str, Any]]

    @property
    def said(self) -> dict[str, Any]:
        return self.interfaces[_MODEM]

    @property
    def state(self) -> int:
        return int(self.said.get("State", 0))

    @property
    def sim(self) -> str:
        return str(self.said.get("Sim", _NOTHING))


async def _find(bus: Bus) -> _Modem | None:
    """Find the modem; of several the one that works best."""
    objects = plain(await bus.call(_SERVICE, _ROOT, _OBJECTS))
    found = [_Modem(path, interfaces) for path, interfaces in objects.items() if _MODEM in interfaces]
    return max(found, key=lambda modem: (modem.state, modem.path), default=None)


async def _examine(bus: Bus, modem: _Modem, *, often: bool) -> ModemStatus:
    said, network = modem.said, modem.interfaces.get(_3GPP, {})
    sim = _sim_state(modem)
    card: dict[str, Any] = {}
    if modem.sim != _NOTHING:
        # A locked card may not tell its numbers.
        with suppress(CallIsRefused):
            card = await bus.properties(_SERVICE, modem.sim, _SIM)
    link, interface = await _link(bus, modem)
    percent = int(said.get("SignalQuality", (0, False))[0])
    default = uplink.default_interface()
    return ModemStatus(
        signal=percent if percent or modem.state >= _REGISTERED else None,
        iccid=str(card.get("SimIdentifier", "")),
        imsi=str(card.get("Imsi", "")),
        operator=str(network.get("OperatorName", "")),
        manufacturer=str(said.get("Manufacturer", "")),
        model=str(said.get("Model", "")),
        imei=str(said.get("EquipmentIdentifier", "")),
        technology=_technology(int(said.get("AccessTechnologies", 0))),
        rsrp_dbm=await _rsrp_dbm(bus, modem, often=often),
        is_on=modem.state not in {_DISABLED, _DISABLING},
        sim=sim,
        tries_left=_tries_left(said),
        registration=_REGISTRATIONS.get(int(network.get("RegistrationState", 0)), Registration.NONE),
        link=link,
        # Without any route the modem is what the station waits for.
        is_uplink=default is None or default == interface,
    )


def _sim_state(modem: _Modem) -> SimState:
    lock, reason = int(modem.said.get("UnlockRequired", 0)), int(modem.said.get("StateFailedReason", 0))
    if lock == _SIM_PUK:
        return SimState.BLOCKED
    if modem.state == _LOCKED:
        return SimState.LOCKED if lock == _SIM_PIN else SimState.FAULTY
    if modem.state == _FAILED and reason == _SIM_ERROR:
        return SimState.FAULTY
    if (modem.state == _FAILED and reason == _SIM_MISSING) or (modem.state > _INITIALIZING and modem.sim == _NOTHING):
        return SimState.ABSENT
    return SimState.READY


def _tries_left(said: dict[str, Any]) -> int | None:
    if int(said.get("UnlockRequired", 0)) != _SIM_PIN:
        return None
    tries = said.get("UnlockRetries", {}).get(_SIM_PIN)
    return None if tries is None else int(tries)


def _technology(mask: int) -> str:
    return next((name for bit, name in _TECHNOLOGIES if mask & bit), "")


async def _link(bus: Bus, modem: _Modem) -> tuple[DataLink, str]:
    """Return the state of the connection and the interface it goes over."""
    link = DataLink.CONNECTING if modem.state == _CONNECTING else DataLink.DOWN
    for path in modem.said.get("Bearers", ()):
        try:
            bearer = await bus.properties(_SERVICE, path, _BEARER)
        except ServiceRefused:
            # It went away meanwhile.
            continue
        if bearer.get("Connected"):
            return DataLink.UP, str(bearer.get("Interface", ""))
        if link is DataLink.DOWN and _names_wrong_apn(bearer.get("ConnectionError")):
            link = DataLink.REFUSED
    return (DataLink.UP if modem.state == _CONNECTED else link), ""


def _names_wrong_apn(error: Any) -> bool:
    name = str(error[0]).rpartition(".")[2].lower() if error else ""
    return any(part in name for part in _WRONG_APN)


async def _rsrp_dbm(bus: Bus, modem: _Modem, *, often: bool) -> int | None:
    measured = modem.interfaces.get(_SIGNAL)
    if measured is None:
        return None
    rate_s = _OFTEN_S if often else _SELDOM_S
    if int(measured.get("Rate", 0)) != rate_s:
        # Not every modem can, and the percent are there without it.
        with suppress(ServiceRefused):
            await bus.call(_SERVICE, modem.path, f"{_SIGNAL}.Setup", "u", [rate_s])
    for technology in ("Nr5g", "Lte"):
        strength = measured.get(technology, {}).get("rsrp")
        if strength is not None:
            return round(float(strength))
    return None


async def _use_modes(bus: Bus, modem: _Modem, generation: str) -> bool:
    """Let the modem use one generation of the network, or all; return whether it was another before."""
    supported = [(int(allowed), int(preferred)) for allowed, preferred in modem.said.get("SupportedModes", ())]
    if not supported:
        return False
    if generation:
        chosen = next((each for each in supported if each[0] == _MODES[generation]), None)
        if chosen is None:
            raise ValueIsInvalid(_SERVICE, f"this modem cannot be limited to {generation.upper()}")
    else:
        chosen = max(supported, key=lambda each: each[0].bit_count())
    if tuple(modem.said.get("CurrentModes", ())) == chosen:
        return False
    await bus.call(_SERVICE, modem.path, f"{_MODEM}.SetCurrentModes", "(uu)", [list(chosen)])
    return True
