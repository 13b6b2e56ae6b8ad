"""Restarting over logind: a stand-in written from org.freedesktop.login1(5)."""

import asyncio
from typing import Annotated, Any

import pytest
from dbus_fast.annotations import DBusBool, DBusSignature, DBusStr
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method

from station.host.dbus import bus as dbus
from station.host.dbus import logind
from station.host.dbus.bus import AccessIsDenied, CallIsRefused, NoAnswer, ServiceAbsent
from station.host.ports import Inhibitor
from station.host.power import RebootIsRefused, SystemPower, reboot_was_ordered
from station.paths import DataDirectory
from tests.system_bus import PERMISSION_DENIED, SystemBus

LOGIND = "org.freedesktop.login1"
UPDATE = ("shutdown:sleep", "apt", "packages are being installed", "block", 0, 812)


class FakeLogind(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{LOGIND}.Manager")
        self.rows: list[tuple[object, ...]] = []
        self.may, self.is_denied, self.hangs, self.reboots = "yes", False, False, 0

    @dbus_method()
    def ListInhibitors(self) -> Annotated[list[Any], DBusSignature("a(ssssuu)")]:
        return [list(row) for row in self.rows]

    @dbus_method()
    def CanReboot(self) -> DBusStr:
        return self.may

    @dbus_method()
    async def Reboot(self, interactive: DBusBool) -> None:
        assert not interactive
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_denied:
            raise DBusError(PERMISSION_DENIED, "Access denied")
        self.reboots += 1


@pytest.fixture
def computer(system_bus: SystemBus) -> FakeLogind:
    fake = FakeLogind()
    system_bus.offer(LOGIND, {"/org/freedesktop/login1": [fake]})
    return fake


def test_the_computer_restarts(computer: FakeLogind) -> None:
    logind.reboot()

    assert computer.reboots == 1


def test_a_program_that_does_not_want_it_is_respected_and_named(computer: FakeLogind) -> None:
    computer.rows = [
        UPDATE,
        ("sleep", "NetworkManager", "turns off networks", "delay", 0, 1),
        ("shutdown", "unattended-upgrades", "stops at a good moment", "delay", 0, 2),
        ("sleep", "player", "plays", "block", 0, 3),
    ]

    assert logind.inhibitors() == (Inhibitor(who="apt", why="packages are being installed"),)
    with pytest.raises(CallIsRefused, match="apt: packages are being installed"):
        logind.reboot()
    assert computer.reboots == 0


@pytest.mark.parametrize("may", ["no", "na", "challenge"])
def test_what_logind_does_not_allow_is_not_tried(computer: FakeLogind, may: str) -> None:
    computer.may = may

    with pytest.raises(CallIsRefused, match=may):
        logind.reboot()
    assert computer.reboots == 0


def test_what_polkit_does_not_allow_is_denied(computer: FakeLogind) -> None:
    computer.is_denied = True

    with pytest.raises(AccessIsDenied):
        logind.reboot()


def test_an_absent_service_is_named(system_bus: SystemBus) -> None:
    with pytest.raises(ServiceAbsent):
        logind.inhibitors()


def test_a_service_that_hangs_is_given_up(computer: FakeLogind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbus.Bus.call, "__kwdefaults__", {"timeout_s": 0.2})
    computer.hangs = True

    with pytest.raises(NoAnswer):
        logind.reboot()


def test_a_restart_that_is_refused_was_not_ordered(computer: FakeLogind, data: DataDirectory) -> None:
    from station import clock

    computer.rows = [UPDATE]
    with pytest.raises(RebootIsRefused, match="packages are being installed"):
        SystemPower(data).reboot()
    assert not reboot_was_ordered(data, boot_id=clock.boot_id())

    computer.rows = []
    SystemPower(data).reboot()
    assert reboot_was_ordered(data, boot_id=clock.boot_id())
