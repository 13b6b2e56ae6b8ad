"""The modem over ModemManager and its connection over NetworkManager: stand-ins written from their introspection."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from dbus_fast.annotations import DBusBool, DBusDict, DBusInt32, DBusObjectPath, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.constants import PropertyAccess
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property
from dbus_fast.signature import Variant

from station.domain.mobile import DataLink, Registration, SimState
from station.host import uplink
from station.host.dbus import bus as dbus
from station.host.dbus import gsm_profile
from station.host.dbus.bus import AccessIsDenied, CallIsRefused, NoAnswer, ServiceAbsent, ValueIsInvalid
from station.host.dbus.modem_manager import ModemManager
from station.host.ports import MobileProfile
from tests.system_bus import PERMISSION_DENIED, SystemBus

MM, ROOT = "org.freedesktop.ModemManager1", "/org/freedesktop/ModemManager1"
NM, NM_PATH = "org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager"
LTE, ANY_MODE, ONLY_4G = 1 << 14, (0b1110, 0b1000), (0b1000, 0)
Pair = Annotated[list[int], DBusSignature("(uu)")]


class FakeModem(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{MM}.Modem")
        self.state, self.failed_reason, self.lock, self.tries = 11, 0, 1, {2: 3}
        self.sim, self.bearers = f"{ROOT}/SIM/0", [f"{ROOT}/Bearer/0"]
        self.percent, self.modes = 62, ANY_MODE
        self.is_denied = False

    @dbus_property(access=PropertyAccess.READ)
    def Manufacturer(self) -> DBusStr:
        return "Fibocom Wireless Inc."

    @dbus_property(access=PropertyAccess.READ)
    def Model(self) -> DBusStr:
        return "NL668_EU_10"

    @dbus_property(access=PropertyAccess.READ)
    def EquipmentIdentifier(self) -> DBusStr:
        return "004999010640000"

    @dbus_property(access=PropertyAccess.READ)
    def State(self) -> DBusInt32:
        return self.state

    @dbus_property(access=PropertyAccess.READ)
    def StateFailedReason(self) -> DBusUInt32:
        return self.failed_reason

    @dbus_property(access=PropertyAccess.READ)
    def UnlockRequired(self) -> DBusUInt32:
        return self.lock

    @dbus_property(access=PropertyAccess.READ)
    def UnlockRetries(self) -> Annotated[dict[int, int], DBusSignature("a{uu}")]:
        return self.tries

    @dbus_property(access=PropertyAccess.READ)
    def SignalQuality(self) -> Annotated[list[object], DBusSignature("(ub)")]:
        return [self.percent, True]

    @dbus_property(access=PropertyAccess.READ)
    def AccessTechnologies(self) -> DBusUInt32:
        return LTE

    @dbus_property(access=PropertyAccess.READ)
    def Sim(self) -> DBusObjectPath:
        return self.sim

    @dbus_property(access=PropertyAccess.READ)
    def Bearers(self) -> Annotated[list[str], DBusSignature("ao")]:
        return self.bearers

    @dbus_property(access=PropertyAccess.READ)
    def SupportedModes(self) -> Annotated[list[Any], DBusSignature("a(uu)")]:
        return [[0b0110, 0], list(ONLY_4G), list(ANY_MODE)]

    @dbus_property(access=PropertyAccess.READ)
    def CurrentModes(self) -> Pair:
        return list(self.modes)

    @dbus_method()
    def SetCurrentModes(self, modes: Pair) -> None:
        if self.is_denied:
            raise DBusError(PERMISSION_DENIED, "not allowed")
        self.modes = (modes[0], modes[1])


class FakeNetwork(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{MM}.Modem.Modem3gpp")
        self.registration = 1

    @dbus_property(access=PropertyAccess.READ)
    def OperatorName(self) -> DBusStr:
        return "Telekom.de"

    @dbus_property(access=PropertyAccess.READ)
    def RegistrationState(self) -> DBusUInt32:
        return self.registration


class FakeSignal(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{MM}.Modem.Signal")
        self.rate_s, self.rates = 0, list[int]()

    @dbus_property(access=PropertyAccess.READ)
    def Rate(self) -> DBusUInt32:
        return self.rate_s

    @dbus_property(access=PropertyAccess.READ)
    def Lte(self) -> DBusDict:
        return {"rsrp": Variant("d", -97.4)}

    @dbus_method()
    def Setup(self, rate_s: DBusUInt32) -> None:
        self.rate_s = rate_s
        self.rates.append(rate_s)


class FakeSim(ServiceInterface):
    def __init__(self, modem: FakeModem) -> None:
        super().__init__(f"{MM}.Sim")
        self.modem, self.sent = modem, list[str]()
        self.hangs = False

    @dbus_property(access=PropertyAccess.READ)
    def SimIdentifier(self) -> DBusStr:
        return "8949020000000000001"

    @dbus_property(access=PropertyAccess.READ)
    def Imsi(self) -> DBusStr:
        return "262010000000001"

    @dbus_method()
    async def SendPin(self, pin: DBusStr) -> None:
        self.sent.append(pin)
        if self.hangs:
            await asyncio.Event().wait()
        if pin != "4711":
            raise DBusError(f"{MM}.Error.MobileEquipment.IncorrectPassword", "Incorrect password")
        self.modem.state, self.modem.lock = 8, 1


class FakeBearer(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{MM}.Bearer")
        self.connected, self.error = True, ""

    @dbus_property(access=PropertyAccess.READ)
    def Connected(self) -> DBusBool:
        return self.connected

    @dbus_property(access=PropertyAccess.READ)
    def Interface(self) -> DBusStr:
        return "wwan0"

    @dbus_property(access=PropertyAccess.READ)
    def ConnectionError(self) -> Annotated[list[str], DBusSignature("(ss)")]:
        return [self.error, ""]


class FakeProfile(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{NM}.Settings.Connection")
        self.profile: dict[str, dict[str, Variant]] = {}
        self.updates = 0

    @dbus_method()
    def GetSettings(self) -> Annotated[dict[str, Any], DBusSignature("a{sa{sv}}")]:
        return {
            section: {name: value for name, value in values.items() if name != "password"}
            for section, values in self.profile.items()
        }

    @dbus_method()
    def GetSecrets(self, section: DBusStr) -> Annotated[dict[str, Any], DBusSignature("a{sa{sv}}")]:
        secrets = {name: value for name, value in self.profile[section].items() if name == "password"}
        return {section: secrets}

    @dbus_method()
    def Update(self, profile: Annotated[dict[str, Any], DBusSignature("a{sa{sv}}")]) -> None:
        self.profile = profile
        self.updates += 1


class FakeSettings(ServiceInterface):
    def __init__(self, profile: FakeProfile) -> None:
        super().__init__(f"{NM}.Settings")
        self.profile = profile

    @dbus_method()
    def GetConnectionByUuid(self, uuid: DBusStr) -> DBusObjectPath:
        if not self.profile.profile:
            raise DBusError(f"{NM}.Settings.InvalidConnection", "No connection with the UUID was found.")
        assert uuid == gsm_profile.UUID
        return f"{NM_PATH}/Settings/7"

    @dbus_method()
    def AddConnection(self, profile: Annotated[dict[str, Any], DBusSignature("a{sa{sv}}")]) -> DBusObjectPath:
        self.profile.profile = profile
        return f"{NM_PATH}/Settings/7"


class FakeManager(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(NM)
        self.activated, self.is_ready = 0, True

    @dbus_method()
    def ActivateConnection(
        self, connection: DBusObjectPath, device: DBusObjectPath, specific: DBusObjectPath
    ) -> DBusObjectPath:
        if not self.is_ready:
            raise DBusError(f"{NM}.UnknownDevice", "No suitable device found for this connection.")
        self.activated += 1
        return f"{NM_PATH}/ActiveConnection/1"


class FakeComputer:
    """A computer with a modem, ModemManager and NetworkManager."""

    def __init__(self, system_bus: SystemBus) -> None:
        self.bus = system_bus
        self.modem, self.network, self.signal = FakeModem(), FakeNetwork(), FakeSignal()
        self.sim, self.bearer = FakeSim(self.modem), FakeBearer()
        self.profile, self.manager = FakeProfile(), FakeManager()
        self.bus.offer(MM, self._objects(0))
        self.bus.offer(
            NM,
            {
                NM_PATH: [self.manager],
                f"{NM_PATH}/Settings": [FakeSettings(self.profile)],
                f"{NM_PATH}/Settings/7": [self.profile],
            },
        )

    def _objects(self, number: int) -> dict[str, list[ServiceInterface]]:
        return {
            f"{ROOT}/Modem/{number}": [self.modem, self.network, self.signal],
            f"{ROOT}/SIM/0": [self.sim],
            f"{ROOT}/Bearer/0": [self.bearer],
        }

    def unplug(self) -> None:
        async def unexport() -> None:
            connection = self.bus.connection(MM)
            for path, interfaces in self._objects(0).items():
                for interface in interfaces:
                    connection.unexport(path, interface)

        self.bus.within(unexport)

    def plug_in(self) -> None:
        """Put it in again: ModemManager counts on."""

        async def export() -> None:
            connection = self.bus.connection(MM)
            for path, interfaces in self._objects(1).items():
                for interface in interfaces:
                    connection.export(path, interface)

        self.bus.within(export)


@pytest.fixture
def computer(system_bus: SystemBus, monkeypatch: pytest.MonkeyPatch) -> FakeComputer:
    monkeypatch.setattr(uplink, "default_interface", lambda: "wwan0")
    return FakeComputer(system_bus)


def test_a_modem_that_is_online_tells_everything(computer: FakeComputer) -> None:
    status = ModemManager().examine()

    assert status is not None
    assert (status.manufacturer, status.model) == ("Fibocom Wireless Inc.", "NL668_EU_10")
    assert (status.signal, status.rsrp_dbm, status.technology) == (62, -97, "LTE")
    assert (status.iccid, status.imsi, status.imei) == ("8949020000000000001", "262010000000001", "004999010640000")
    assert (status.operator, status.registration) == ("Telekom.de", Registration.HOME)
    assert (status.sim, status.link, status.is_uplink) == (SimState.READY, DataLink.UP, True)


@pytest.mark.parametrize(("interface", "is_uplink"), [("wwan0", True), ("eth0", False), (None, True)])
def test_it_is_the_uplink_unless_another_interface_is(
    computer: FakeComputer, monkeypatch: pytest.MonkeyPatch, interface: str | None, *, is_uplink: bool
) -> None:
    monkeypatch.setattr(uplink, "default_interface", lambda: interface)

    status = ModemManager().examine()

    assert status is not None
    assert status.is_uplink is is_uplink


@pytest.mark.parametrize(
    ("state", "reason", "lock", "sim"),
    [
        (-1, 2, 0, SimState.ABSENT),
        (-1, 3, 0, SimState.FAULTY),
        (2, 0, 2, SimState.LOCKED),
        (2, 0, 4, SimState.BLOCKED),
        (2, 0, 17, SimState.FAULTY),
        (8, 0, 3, SimState.READY),
        (1, 0, 0, SimState.READY),
    ],
)
def test_the_state_of_the_card(computer: FakeComputer, state: int, reason: int, lock: int, sim: SimState) -> None:
    computer.modem.state, computer.modem.failed_reason, computer.modem.lock = state, reason, lock

    status = ModemManager().examine()

    assert status is not None
    assert status.sim is sim
    assert status.tries_left == (3 if lock == 2 else None)


@pytest.mark.parametrize(
    ("number", "registration"),
    [
        (0, "none"),
        (1, "home"),
        (2, "searching"),
        (3, "denied"),
        (4, "none"),
        (5, "roaming"),
        (6, "none"),
        (8, "denied"),
    ],
)
def test_what_the_network_says(computer: FakeComputer, number: int, registration: str) -> None:
    computer.network.registration = number

    status = ModemManager().examine()

    assert status is not None
    assert status.registration == registration


@pytest.mark.parametrize(
    ("error", "link"),
    [
        ("", DataLink.DOWN),
        (f"{MM}.Error.MobileEquipment.MissingOrUnknownApn", DataLink.REFUSED),
        (f"{MM}.Error.MobileEquipment.UserAuthenticationFailed", DataLink.REFUSED),
        (f"{MM}.Error.Core.Timeout", DataLink.DOWN),
    ],
)
def test_a_refused_access_point_is_told_from_other_failures(computer: FakeComputer, error: str, link: DataLink) -> None:
    computer.modem.state, computer.bearer.connected, computer.bearer.error = 8, False, error

    status = ModemManager().examine()

    assert status is not None
    assert status.link is link


def test_somebody_who_mounts_an_antenna_gets_a_value_a_second_and_nobody_else(computer: FakeComputer) -> None:
    for often in (False, True, True, False):
        ModemManager().examine(often=often)

    assert computer.signal.rates == [10, 1, 10]


def test_a_modem_that_was_unplugged_is_gone_and_is_found_again_under_another_path(computer: FakeComputer) -> None:
    computer.unplug()
    assert ModemManager().examine() is None
    assert not ModemManager().apply(MobileProfile())

    computer.plug_in()
    status = ModemManager().examine()
    assert status is not None
    assert status.signal == 62


def test_the_right_pin_opens_the_card_and_a_wrong_one_does_not(computer: FakeComputer) -> None:
    computer.modem.state, computer.modem.lock = 2, 2

    assert not ModemManager().unlock("0000")
    assert ModemManager().unlock("4711")
    assert computer.sim.sent == ["0000", "4711"]


def test_without_a_card_no_pin_is_sent(computer: FakeComputer) -> None:
    computer.modem.sim = "/"

    with pytest.raises(CallIsRefused):
        ModemManager().unlock("4711")


def test_the_profile_is_made_kept_and_changed(computer: FakeComputer) -> None:
    custom = MobileProfile(apn="iot.example", authentication="pap", user="me", password="secret")

    assert ModemManager().apply(custom)
    assert not ModemManager().apply(custom)
    made = dbus.plain(computer.profile.profile)
    assert made["gsm"] == {"apn": "iot.example", "username": "me", "password": "secret"}
    assert made["connection"]["type"] == "gsm"
    assert "refuse-pap" not in made["ppp"]
    assert made["ppp"]["refuse-chap"]
    assert made["ipv4"] == {"method": "auto", "route-metric": 700}

    assert ModemManager().apply(MobileProfile(apn="iot.example", authentication="pap", user="me", password="other"))
    assert computer.profile.updates == 1
    assert computer.manager.activated == 2


def test_the_card_chooses_where_no_access_point_is_given_and_no_pin_is_in_the_profile(computer: FakeComputer) -> None:
    ModemManager().apply(MobileProfile(authentication="none"))

    assert dbus.plain(computer.profile.profile)["gsm"] == {"auto-config": True}
    assert not dbus.plain(computer.profile.profile)["ppp"]


def test_a_modem_that_is_not_ready_is_left_to_networkmanager(computer: FakeComputer) -> None:
    computer.manager.is_ready = False

    assert ModemManager().apply(MobileProfile())


def test_a_generation_is_chosen_and_given_free_again(computer: FakeComputer) -> None:
    ModemManager().apply(MobileProfile(modes="4g"))
    assert computer.modem.modes == ONLY_4G

    ModemManager().apply(MobileProfile())
    assert computer.modem.modes == ANY_MODE


def test_a_generation_the_modem_does_not_know_is_refused_with_a_reason(computer: FakeComputer) -> None:
    with pytest.raises(ValueIsInvalid, match="2G"):
        ModemManager().apply(MobileProfile(modes="2g"))


def test_what_polkit_does_not_allow_is_denied(computer: FakeComputer) -> None:
    computer.modem.is_denied = True

    with pytest.raises(AccessIsDenied):
        ModemManager().apply(MobileProfile(modes="4g"))


def test_an_absent_service_is_named(system_bus: SystemBus) -> None:
    with pytest.raises(ServiceAbsent):
        ModemManager().examine()


def test_a_service_that_hangs_is_given_up(computer: FakeComputer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbus.Bus.call, "__kwdefaults__", {"timeout_s": 0.2})
    computer.sim.hangs = True

    with pytest.raises(NoAnswer):
        ModemManager().unlock("4711")


def test_the_preferred_default_route_is_the_uplink(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "wwan0\t00000000\t0100000A\t0003\t0\t0\t700\t00000000\t0\t0\t0\n"
        "eth0\t0020A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        "eth0\t00000000\t0120A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    )

    assert uplink.default_interface(routes) == "eth0"
    assert uplink.default_interface(tmp_path / "absent") is None
