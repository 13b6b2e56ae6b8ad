"""The vendor's access at a computer: systemd's units, and a desk on which nothing is opened."""

from pathlib import Path

import pytest
from dbus_fast import PropertyAccess
from dbus_fast.annotations import DBusObjectPath, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from station.domain.vendor_access import Door
from station.host.dbus.bus import ServiceAbsent
from station.host.vendor_access import UNITS, SimulatedVendorAccess, SystemVendorAccess
from tests.system_bus import SystemBus, needs_system_bus

DEPLOY = Path(__file__).resolve().parents[4] / "deploy"
PATH = "/org/freedesktop/systemd1"


class Unit(ServiceInterface):
    """A unit of systemd."""

    def __init__(self, *, is_there: bool = True) -> None:
        super().__init__("org.freedesktop.systemd1.Unit")
        self.load, self.active = "loaded" if is_there else "not-found", "inactive"

    @dbus_property(access=PropertyAccess.READ)
    def LoadState(self) -> DBusStr:
        return self.load

    @dbus_property(access=PropertyAccess.READ)
    def ActiveState(self) -> DBusStr:
        return self.active


class Manager(ServiceInterface):
    """systemd, as far as the station asks it."""

    def __init__(self, units: dict[str, Unit]) -> None:
        super().__init__("org.freedesktop.systemd1.Manager")
        self.units, self.jobs = units, list[tuple[str, str]]()

    @dbus_method()
    def LoadUnit(self, name: DBusStr) -> DBusObjectPath:
        return f"{PATH}/unit/{list(self.units).index(name)}"

    @dbus_method()
    def StartUnit(self, name: DBusStr, mode: DBusStr) -> DBusObjectPath:
        self.jobs.append(("start", name))
        self.units[name].active = "active"
        return f"{PATH}/job/1"

    @dbus_method()
    def StopUnit(self, name: DBusStr, mode: DBusStr) -> DBusObjectPath:
        self.jobs.append(("stop", name))
        self.units[name].active = "inactive"
        return f"{PATH}/job/2"


def systemd(system_bus: SystemBus, *, is_there: bool = True) -> Manager:
    manager = Manager({name: Unit(is_there=is_there) for name in UNITS.values()})
    units = {f"{PATH}/unit/{number}": [unit] for number, unit in enumerate(manager.units.values())}
    system_bus.offer("org.freedesktop.systemd1", {PATH: [manager], **units})
    return manager


@needs_system_bus
def test_systemd_starts_and_stops_one_unit_for_each_access(system_bus: SystemBus):
    manager, access = systemd(system_bus), SystemVendorAccess()
    assert not access.is_open(Door.REMOTE)

    access.switch(Door.REMOTE, is_open=True)
    access.switch(Door.REMOTE, is_open=True)
    assert access.is_open(Door.REMOTE)
    assert not access.is_open(Door.LOCAL)
    access.switch(Door.REMOTE, is_open=False)
    access.switch(Door.LOCAL, is_open=False)

    assert manager.jobs == [("start", "station-vendor-remote.service"), ("stop", "station-vendor-remote.service")]


@needs_system_bus
def test_a_computer_without_the_units_says_so(system_bus: SystemBus):
    systemd(system_bus, is_there=False)

    with pytest.raises(ServiceAbsent, match="not installed"):
        SystemVendorAccess().switch(Door.LOCAL, is_open=True)


@needs_system_bus
def test_a_computer_without_systemd_says_so(system_bus: SystemBus):
    with pytest.raises(ServiceAbsent):
        SystemVendorAccess().is_open(Door.LOCAL)


def test_on_a_desk_a_file_remembers_what_a_station_would_have_switched(tmp_path: Path):
    access = SimulatedVendorAccess(tmp_path / "sim" / "vendor_access.json")
    assert not access.is_open(Door.LOCAL)

    access.switch(Door.LOCAL, is_open=True)

    assert access.is_open(Door.LOCAL)
    assert not access.is_open(Door.REMOTE)
    (tmp_path / "sim" / "vendor_access.json").write_text("{")
    assert not access.is_open(Door.LOCAL)


@pytest.mark.parametrize("door", list(Door))
def test_each_unit_ends_by_itself_after_a_day_is_started_by_nobody_else_and_may_be_started_by_the_station(door: Door):
    unit = (DEPLOY / "vendor" / UNITS[door]).read_text()

    assert "RuntimeMaxSec=24h" in unit
    assert "Restart=no" in unit
    assert "[Install]" not in unit
    assert f'"{UNITS[door]}"' in (DEPLOY / "50-station.rules").read_text()


def test_the_remote_access_takes_keys_only_and_no_root():
    unit = (DEPLOY / "vendor" / UNITS[Door.REMOTE]).read_text()

    # A Match block of a file of settings would have the last word.
    assert "-f /dev/null" in unit
    for option in (
        *("AuthenticationMethods=publickey", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no"),
        *("PermitRootLogin=no", "AllowUsers=vendor", "AuthorizedKeysFile=/etc/station/vendor_keys"),
        *("DisableForwarding=yes", "UsePAM=no"),
    ):
        assert f"-o {option} " in unit
