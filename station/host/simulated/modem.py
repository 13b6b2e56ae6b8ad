"""The modem of a simulated station. The simulator says what is around it; what the station tells it is kept here.

The SIM card that the simulator locks has the PIN 1234. An access point that ends with `.invalid` refuses the station.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from station.domain.mobile import DataLink, ModemStatus, Registration, SimState
from station.host.ports import MobileProfile
from station.host.simulated.host_file import HostFile
from station.host.simulated.memory import Memory

MEMORY_FILE = "modem.json"
_PIN = "1234"
_TRIES = 3
_REFUSED_APN = ".invalid"
_TECHNOLOGIES = {"": "LTE", "4g": "LTE", "3g": "HSPA", "2g": "EDGE"}
# LTE's reference signal over the whole scale of percents.
_RSRP_AT_0_DBM, _RSRP_AT_100_DBM = -125, -75


@dataclass(frozen=True)
class SimulatedModem:
    """A modem whose numbers are from ranges that are never issued; `memory` keeps the card's tries and the profile."""

    file: HostFile
    memory: Memory

    def status(self) -> ModemStatus:
        world, kept = self.file.read(), self.memory.read()
        card = _Card.of(kept, world.sim_number)
        sim = _sim_state(world.sim, card)
        status = ModemStatus(
            signal=world.signal,
            iccid="8949000000000000000",
            imsi="001010000000001",
            operator="Simulation",
            manufacturer="Simulation",
            model="SIM-LTE-1",
            imei="004999010640000",
            sim=sim,
            tries_left=card.tries if sim is SimState.LOCKED else None,
            technology=_TECHNOLOGIES.get(str(kept.get("modes", "")), "LTE"),
            rsrp_dbm=_RSRP_AT_0_DBM + (_RSRP_AT_100_DBM - _RSRP_AT_0_DBM) * world.signal // 100,
        )
        if sim is not SimState.READY:
            numbers = {"iccid": "", "imsi": ""} if sim is SimState.ABSENT else {"imsi": ""}
            return _offline(replace(status, **numbers), Registration.NONE, signal=None)  # type: ignore[arg-type]
        if world.registration == Registration.DENIED:
            return _offline(status, Registration.DENIED, signal=world.signal)
        if world.registration == Registration.SEARCHING or world.signal == 0:
            return _offline(status, Registration.SEARCHING, signal=world.signal)
        if str(kept.get("apn", "")).endswith(_REFUSED_APN):
            return replace(status, link=DataLink.REFUSED)
        return status

    def examine(self, *, often: bool = False) -> ModemStatus | None:
        return self.status()

    def apply(self, profile: MobileProfile) -> bool:
        # The password stays out of the file: nothing here needs it.
        wanted = {name: value for name, value in asdict(profile).items() if name != "password"}
        kept = self.memory.read()
        if all(kept.get(name, "") == value for name, value in wanted.items()):
            return False
        self.memory.add(**wanted)
        return True

    def unlock(self, pin: str) -> bool:
        kept, number = self.memory.read(), self.file.read().sim_number
        card = _Card.of(kept, number)
        is_right = pin == _PIN
        tries = _TRIES if is_right else max(0, card.tries - 1)
        self.memory.add(card=asdict(_Card(number=number, tries=tries, unlocked=is_right)))
        return is_right


@dataclass(frozen=True, kw_only=True)
class _Card:
    """What a locked card remembers; another card begins anew."""

    number: int
    tries: int = _TRIES
    unlocked: bool = False

    @classmethod
    def of(cls, kept: dict[str, Any], number: int) -> "_Card":
        card = kept.get("card")
        if not isinstance(card, dict) or card.get("number") != number:
            return cls(number=number)
        return cls(number=number, tries=int(card.get("tries", _TRIES)), unlocked=bool(card.get("unlocked")))


def _sim_state(world: str, card: _Card) -> SimState:
    if world != SimState.LOCKED:
        return SimState.ABSENT if world == SimState.ABSENT else SimState.READY
    if card.unlocked:
        return SimState.READY
    return SimState.LOCKED if card.tries else SimState.BLOCKED


def _offline(status: ModemStatus, registration: Registration, *, signal: int | None) -> ModemStatus:
    return replace(
        status,
        registration=registration,
        signal=signal,
        link=DataLink.DOWN,
        operator="",
        technology="",
        rsrp_dbm=None if signal is None else status.rsrp_dbm,
    )
