"""How services of the computer are asked, and what becomes of their refusals."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from dbus_fast.annotations import DBusBool, DBusDict, DBusInt32, DBusSignature, DBusStr, DBusUInt32
from dbus_fast.constants import PropertyAccess
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property, dbus_signal
from dbus_fast.signature import Variant

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
)
from tests.system_bus import SystemBus

NAME, PATH = "org.example.Lamp", "/org/example/Lamp"


class Lamp(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(NAME)
        self.refusal = ""

    @dbus_method()
    def Switch(self, on: DBusBool, level: DBusUInt32) -> DBusStr:
        if self.refusal:
            raise DBusError(self.refusal, "the lamp says why")
        return f"{on} {level}"

    @dbus_method()
    def Profile(self) -> DBusDict:
        return {"ssid": Variant("ay", b"net"), "metric": Variant("x", 100)}

    @dbus_method()
    def Both(self) -> Annotated[list[object], DBusSignature("su")]:
        return ["two", 2]

    @dbus_method()
    async def Hang(self) -> None:
        await asyncio.Event().wait()

    @dbus_method()
    def Install(self) -> None:
        self.Completed(0)

    @dbus_signal()
    def Completed(self, result: int) -> DBusInt32:
        return result

    @dbus_property(access=PropertyAccess.READ)
    def Level(self) -> DBusUInt32:
        return 7

    @dbus_property(access=PropertyAccess.READ)
    def Options(self) -> DBusDict:
        return {"deep": Variant("v", Variant("as", ["a"]))}


@pytest.fixture
def lamp(system_bus: SystemBus) -> Lamp:
    lamp = Lamp()
    system_bus.offer(NAME, {PATH: [lamp]})
    return lamp


def call(method: str, signature: str = "", *arguments: object, timeout_s: float = 5.0, service: str = NAME) -> Any:
    async def task(bus: Bus) -> object:
        return await bus.call(service, PATH, f"{NAME}.{method}", signature, arguments, timeout_s=timeout_s)

    return run(task)


@pytest.mark.usefixtures("lamp")
def test_a_method_returns_nothing_one_value_or_several() -> None:
    assert call("Switch", "bu", True, 3) == "True 3"
    assert call("Install") is None
    assert call("Both") == ["two", 2]


@pytest.mark.usefixtures("lamp")
def test_a_profile_keeps_its_types_until_they_are_dropped() -> None:
    profile = call("Profile")

    assert profile["metric"] == Variant("x", 100)
    assert plain(profile) == {"ssid": b"net", "metric": 100}


@pytest.mark.usefixtures("lamp")
def test_properties_come_plain() -> None:
    assert run(lambda bus: bus.properties(NAME, PATH, NAME)) == {"Level": 7, "Options": {"deep": ["a"]}}
    assert run(lambda bus: bus.get(NAME, PATH, f"{NAME}.Level")) == 7


@pytest.mark.usefixtures("lamp")
def test_the_signal_of_an_outcome_is_not_missed() -> None:
    async def task(bus: Bus) -> object:
        async with bus.signals(NAME, PATH) as signals:
            await bus.call(NAME, PATH, f"{NAME}.Install")
            return await signals.next()

    assert run(task) == (f"{NAME}.Completed", [0])


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("org.freedesktop.DBus.Error.AccessDenied", AccessIsDenied),
        ("org.freedesktop.NetworkManager.Settings.PermissionDenied", AccessIsDenied),
        ("org.freedesktop.ModemManager1.Error.Core.Unauthorized", AccessIsDenied),
        ("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", AccessIsDenied),
        ("org.freedesktop.DBus.Error.NoReply", NoAnswer),
        ("org.freedesktop.NetworkManager.Settings.Connection.InvalidProperty", ValueIsInvalid),
        ("org.freedesktop.DBus.Error.InvalidArgs", ValueIsInvalid),
        ("org.freedesktop.DBus.Error.Spawn.ServiceNotFound", ServiceAbsent),
        ("org.freedesktop.ModemManager1.Error.MobileEquipment.IncorrectPassword", CallIsRefused),
    ],
)
def test_a_refusal_is_named_after_its_reason(lamp: Lamp, name: str, refused: type[ServiceRefused]) -> None:
    lamp.refusal = name

    with pytest.raises(refused) as refusal:
        call("Switch", "bu", True, 3)

    assert (refusal.value.service, refusal.value.name, refusal.value.text) == (NAME, name, "the lamp says why")


@pytest.mark.usefixtures("lamp")
def test_a_service_that_is_not_there_is_absent(system_bus: SystemBus) -> None:
    assert run(lambda bus: bus.is_there(NAME))
    system_bus.withdraw(NAME)

    assert not run(lambda bus: bus.is_there(NAME))
    with pytest.raises(ServiceAbsent):
        call("Install")


@pytest.mark.usefixtures("lamp")
def test_a_service_that_hangs_gives_no_answer_and_holds_nobody() -> None:
    with pytest.raises(NoAnswer):
        call("Hang", timeout_s=0.05)

    with pytest.raises(NoAnswer):
        run(lambda bus: bus.call(NAME, PATH, f"{NAME}.Hang"), timeout_s=0.05)


def test_a_computer_without_a_bus_has_no_services(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for address in (f"unix:path={tmp_path / 'nothing'}", "nonsense"):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)

        with pytest.raises(ServiceAbsent):
            call("Install")


def test_who_asks_nobody_does_not_carry_the_library() -> None:
    program = "import sys, station.host.dbus.bus; sys.exit('dbus_fast' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
