"""The external interface by a NetworkManager that stands in on a private bus."""

import asyncio
from typing import Annotated, Any

import pytest
from dbus_fast.annotations import DBusObjectPath, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.constants import PropertyAccess
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property
from dbus_fast.signature import Variant

from station.domain.network import Method, NetworkSettings, read
from station.host.dbus import bus, network_manager
from station.host.dbus.bus import plain
from station.host.dbus.network_manager import PATH, SERVICE, NetworkManager, changed, settings_of
from station.host.ports import NetworkUnavailable, TrialIsOver
from tests.system_bus import SystemBus

DEVICE, ACTIVE, PROFILE = f"{PATH}/Devices/2", f"{PATH}/ActiveConnection/1", f"{PATH}/Settings/1"
Paths = Annotated[list[str], DBusSignature("ao")]
Profile = Annotated[dict[str, dict[str, Variant]], DBusSignature("a{sa{sv}}")]
CHECKPOINT = f"{PATH}/Checkpoint/1"
READABLE = PropertyAccess.READ

PRESENT: dict[str, dict[str, Variant]] = {
    "connection": {
        "id": Variant("s", "Wired connection 1"),
        "uuid": Variant("s", "5b3c6e8a-0000-4000-8000-000000000001"),
        "type": Variant("s", "802-3-ethernet"),
        "autoconnect-priority": Variant("i", 5),
    },
    "802-3-ethernet": {"mtu": Variant("u", 1400)},
    "802-1x": {"identity": Variant("s", "station")},
    "ipv4": {"method": Variant("s", "auto"), "route-metric": Variant("x", 50), "dns": Variant("au", [])},
    "ipv6": {"method": Variant("s", "auto"), "addr-gen-mode": Variant("i", 1)},
}
WANTED = read(
    {
        "ipv4-method": "manual",
        "ipv4-address": "192.168.30.50",
        "ipv4-netmask": "24",
        "ipv4-gateway": "192.168.30.1",
        "ipv4-dns": "192.168.30.2",
        "ipv6-method": "manual",
        "ipv6-address": "fd00:30::50",
        "ipv6-netmask": "64",
        "ipv6-dns": "fd00:30::1",
    }
)


class Manager(ServiceInterface):
    def __init__(self, calls: list[tuple[str, Any]]) -> None:
        super().__init__(SERVICE)
        self.calls, self.checkpoints, self.hangs = calls, [], False

    @dbus_method()
    async def GetDevices(self) -> Paths:
        if self.hangs:
            await asyncio.Event().wait()
        return [DEVICE]

    @dbus_method()
    def CheckpointCreate(self, devices: Paths, timeout: DBusUInt32, flags: DBusUInt32) -> DBusObjectPath:
        self.calls.append(("CheckpointCreate", (devices, timeout, flags)))
        self.checkpoints.append(CHECKPOINT)
        return CHECKPOINT

    @dbus_method()
    def CheckpointDestroy(self, path: DBusObjectPath) -> None:
        self._end(path, "CheckpointDestroy")

    @dbus_method()
    def CheckpointRollback(self, path: DBusObjectPath) -> Annotated[dict[str, int], DBusSignature("a{su}")]:
        self._end(path, "CheckpointRollback")
        return {DEVICE: 0}

    def _end(self, path: str, call: str) -> None:
        if path not in self.checkpoints:
            raise DBusError(f"{SERVICE}.InvalidArguments", f"checkpoint {path} does not exist")
        self.checkpoints.remove(path)
        self.calls.append((call, path))

    @dbus_method()
    def ActivateConnection(
        self, connection: DBusObjectPath, device: DBusObjectPath, specific: DBusObjectPath
    ) -> DBusObjectPath:
        self.calls.append(("ActivateConnection", (connection, device, specific)))
        return ACTIVE

    @dbus_property(access=READABLE)
    def Checkpoints(self) -> Paths:
        return self.checkpoints


class Settings(ServiceInterface):
    def __init__(self, calls: list[tuple[str, Any]]) -> None:
        super().__init__(f"{SERVICE}.Settings")
        self.calls, self.paths = calls, [PROFILE]

    @dbus_method()
    def ListConnections(self) -> Paths:
        return self.paths

    @dbus_method()
    def AddConnectionUnsaved(self, profile: Profile) -> DBusObjectPath:
        self.calls.append(("AddConnectionUnsaved", profile))
        return PROFILE


class Connection(ServiceInterface):
    def __init__(self, calls: list[tuple[str, Any]]) -> None:
        super().__init__(f"{SERVICE}.Settings.Connection")
        self.calls, self.profile, self.refusal = calls, PRESENT, ("", "")

    @dbus_method()
    def GetSettings(self) -> Profile:
        return self.profile

    @dbus_method()
    def GetSecrets(self, section: DBusStr) -> Profile:
        return {section: {"password": Variant("s", "port secret")}}

    @dbus_method()
    def UpdateUnsaved(self, profile: Profile) -> None:
        self._take("UpdateUnsaved", profile)

    @dbus_method()
    def Update(self, profile: Profile) -> None:
        self._take("Update", profile)

    @dbus_method()
    def Save(self) -> None:
        self.calls.append(("Save", None))

    def _take(self, call: str, profile: dict[str, dict[str, Variant]]) -> None:
        if self.refusal[0]:
            raise DBusError(*self.refusal)
        self.profile = profile
        self.calls.append((call, profile))


class Active(ServiceInterface):
    @dbus_property(access=READABLE)
    def Connection(self) -> DBusObjectPath:
        return PROFILE


class Device(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{SERVICE}.Device")
        self.state, self.active = 100, ACTIVE

    @dbus_property(access=READABLE)
    def Interface(self) -> DBusStr:
        return "eth0"

    @dbus_property(access=READABLE)
    def State(self) -> DBusUInt32:
        return self.state

    @dbus_property(access=READABLE)
    def HwAddress(self) -> DBusStr:
        return "00:11:22:33:44:55"

    @dbus_property(access=READABLE)
    def ActiveConnection(self) -> DBusObjectPath:
        return self.active

    @dbus_property(access=READABLE)
    def Ip4Config(self) -> DBusObjectPath:
        return f"{PATH}/IP4Config/1"

    @dbus_property(access=READABLE)
    def Ip6Config(self) -> DBusObjectPath:
        return "/"


class Ip4(ServiceInterface):
    @dbus_property(access=READABLE)
    def AddressData(self) -> Annotated[list[dict[str, Variant]], DBusSignature("aa{sv}")]:
        return [{"address": Variant("s", "10.1.2.3"), "prefix": Variant("u", 16)}]

    @dbus_property(access=READABLE)
    def Gateway(self) -> DBusStr:
        return "10.1.0.1"

    @dbus_property(access=READABLE)
    def NameserverData(self) -> Annotated[list[dict[str, Variant]], DBusSignature("aa{sv}")]:
        return [{"address": Variant("s", "10.1.0.2")}]


class Computer:
    """A NetworkManager with one Ethernet device and its profile."""

    def __init__(self, system_bus: SystemBus) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.manager, self.settings = Manager(self.calls), Settings(self.calls)
        self.profile, self.device = Connection(self.calls), Device()
        system_bus.offer(
            SERVICE,
            {
                PATH: [self.manager],
                f"{PATH}/Settings": [self.settings],
                PROFILE: [self.profile],
                DEVICE: [self.device],
                ACTIVE: [Active(f"{SERVICE}.Connection.Active")],
                f"{PATH}/IP4Config/1": [Ip4(f"{SERVICE}.IP4Config")],
            },
        )

    def verbs(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def computer(system_bus: SystemBus) -> Computer:
    return Computer(system_bus)


def unavailable(work: Any) -> tuple[str, str]:
    with pytest.raises(NetworkUnavailable) as refusal:
        work()
    return refusal.value.reason, refusal.value.detail


@pytest.mark.usefixtures("computer")
def test_what_is_set_and_what_is_in_force_are_read() -> None:
    found = NetworkManager().external()

    assert (found.name, found.mac, found.has_link) == ("eth0", "00:11:22:33:44:55", True)
    assert found.settings == NetworkSettings()
    assert (found.addresses, found.gateways, found.dns) == (("10.1.2.3/16",), ("10.1.0.1",), ("10.1.0.2",))


def test_a_change_is_made_in_memory_under_a_checkpoint_and_saved_when_it_is_kept(computer: Computer) -> None:
    network = NetworkManager()

    trial = network.prepare(WANTED, taken_back_after_s=62)
    assert computer.verbs() == ["CheckpointCreate", "UpdateUnsaved"]
    assert computer.calls[0][1] == ([DEVICE], 62, 2)
    assert network.is_on_trial(trial)
    network.activate()
    network.keep(trial)

    assert computer.calls[2] == ("ActivateConnection", (PROFILE, DEVICE, "/"))
    assert computer.verbs()[3:] == ["CheckpointDestroy", "Save"]
    assert not network.is_on_trial(trial)
    assert network.external().settings == WANTED


def test_whatever_the_page_does_not_show_stays_with_its_secrets(computer: Computer) -> None:
    NetworkManager().prepare(WANTED, taken_back_after_s=62)

    profile = plain(computer.calls[1][1])
    assert profile["802-1x"] == {"identity": "station", "password": "port secret"}
    assert profile["802-3-ethernet"] == {"mtu": 1400}
    assert profile["connection"] == plain(PRESENT["connection"])
    assert profile["ipv4"]["route-metric"] == 50
    assert profile["ipv6"]["addr-gen-mode"] == 1


def test_a_trial_is_taken_back_once(computer: Computer) -> None:
    network = NetworkManager()
    trial = network.prepare(WANTED, taken_back_after_s=62)

    network.take_back(trial)

    assert computer.verbs()[-1] == "CheckpointRollback"
    for late in (network.keep, network.take_back):
        with pytest.raises(TrialIsOver):
            late(trial)
    assert "Save" not in computer.verbs()


def test_a_refusal_of_polkit_leaves_nothing_behind(computer: Computer) -> None:
    computer.profile.refusal = (f"{SERVICE}.Settings.PermissionDenied", "Insufficient privileges")

    assert unavailable(lambda: NetworkManager().prepare(WANTED, taken_back_after_s=62)) == (
        "access_denied",
        "Insufficient privileges",
    )
    assert computer.verbs() == ["CheckpointCreate", "CheckpointDestroy"]


def test_a_value_that_the_service_refuses_comes_with_its_words(computer: Computer) -> None:
    computer.profile.refusal = (f"{SERVICE}.Settings.Connection.InvalidProperty", "ipv4.addresses: no")

    assert unavailable(lambda: NetworkManager().prepare(WANTED, taken_back_after_s=62)) == (
        "invalid_value",
        "ipv4.addresses: no",
    )


@pytest.mark.usefixtures("system_bus")
def test_without_the_service_the_network_cannot_be_set() -> None:
    assert unavailable(NetworkManager().external)[0] == "service_absent"


def test_a_service_that_hangs_is_said_to_be_silent(computer: Computer, monkeypatch: pytest.MonkeyPatch) -> None:
    computer.manager.hangs = True
    monkeypatch.setattr(network_manager, "run", lambda task: bus.run(task, timeout_s=0.1))

    assert unavailable(NetworkManager().external)[0] == "no_answer"


def test_an_interface_that_is_not_there_or_not_managed_is_named(
    computer: Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer.device.state = 10
    assert unavailable(NetworkManager().external) == ("unmanaged", "eth0")

    monkeypatch.setenv("STATION_LAN_INTERFACES", "end0 end1")
    assert unavailable(NetworkManager().external) == ("interface_absent", "end0, end1")

    monkeypatch.setenv("STATION_LAN_INTERFACES", "a;b")
    assert unavailable(NetworkManager().external)[0] == "interface_absent"


def test_without_a_cable_the_profile_is_set_and_comes_into_force_with_the_cable(computer: Computer) -> None:
    computer.device.state, computer.device.active = 20, "/"
    network = NetworkManager()

    network.prepare(WANTED, taken_back_after_s=62)
    network.activate()

    assert computer.verbs() == ["CheckpointCreate", "UpdateUnsaved"]
    assert not network.external().has_link


def test_an_interface_without_a_profile_gets_one_for_the_trial(computer: Computer) -> None:
    computer.device.active, computer.settings.paths = "/", []

    NetworkManager().prepare(WANTED, taken_back_after_s=62)

    name, profile = computer.calls[-1]
    assert name == "AddConnectionUnsaved"
    assert plain(profile)["connection"]["interface-name"] == "eth0"
    assert settings_of(plain(profile)) == WANTED


def test_settings_are_put_back_for_good(computer: Computer) -> None:
    NetworkManager().restore(WANTED)

    assert computer.verbs() == ["Update", "ActivateConnection"]


def test_further_addresses_and_name_servers_stay() -> None:
    before = changed(PRESENT, WANTED)
    more = {"address": Variant("s", "10.0.0.5"), "prefix": Variant("u", 8)}
    before["ipv4"]["address-data"].value.append(more)
    before["ipv4"]["dns-data"].value.append("9.9.9.9")

    after = plain(changed(before, WANTED))

    assert after["ipv4"]["address-data"] == [
        {"address": "192.168.30.50", "prefix": 24},
        {"address": "10.0.0.5", "prefix": 8},
    ]
    assert after["ipv4"]["dns-data"] == ["192.168.30.2", "9.9.9.9"]
    assert settings_of(after) == WANTED


def test_going_back_to_dhcp_leaves_nothing_of_the_fixed_address() -> None:
    after = plain(changed(changed(PRESENT, WANTED), NetworkSettings(never_default=True)))

    for family in ("ipv4", "ipv6"):
        assert {"address-data", "addresses", "gateway", "dns", "dns-data"}.isdisjoint(after[family])
        assert after[family]["method"] == "auto"
        assert after[family]["never-default"] is True


def test_what_the_page_does_not_offer_is_left_as_it_is() -> None:
    present = PRESENT | {"ipv6": {"method": Variant("s", "disabled")}}

    settings = settings_of(plain(present))
    assert settings.ipv6.method is Method.OTHER
    assert plain(changed(present, settings))["ipv6"] == {"method": "disabled"}


def test_an_old_networkmanager_tells_name_servers_as_numbers() -> None:
    manual = {"method": "manual", "address-data": [{"address": "10.1.2.3", "prefix": 16}]}
    ipv6 = {"method": "manual", "address-data": [{"address": "fd00::2", "prefix": 64}], "dns": [bytes(15) + b"\x09"]}

    settings = settings_of({"ipv4": manual | {"dns": [int.from_bytes(bytes([10, 1, 0, 2]), "little")]}, "ipv6": ipv6})

    assert (str(settings.ipv4.dns), str(settings.ipv6.dns)) == ("10.1.0.2", "::9")
