"""Time over timedated and timesyncd: stand-ins written from their introspection."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import pytest
from dbus_fast.annotations import DBusBool, DBusInt64, DBusSignature, DBusStr
from dbus_fast.constants import PropertyAccess
from dbus_fast.errors import DBusError
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from station.host.dbus import bus as dbus
from station.host.dbus.bus import AccessIsDenied, CallIsRefused, NoAnswer, ServiceAbsent, ValueIsInvalid
from station.host.dbus.timedate import Timedate
from tests.system_bus import PERMISSION_DENIED, SystemBus

TIMEDATE, TIMESYNC = "org.freedesktop.timedate1", "org.freedesktop.timesync1"
AT = datetime(2031, 5, 1, 12, 0, tzinfo=UTC)


class FakeTimedated(ServiceInterface):
    """Refuses to set the clock while the time service is on, as timedated does."""

    def __init__(self) -> None:
        super().__init__(TIMEDATE)
        self.zone, self.ntp, self.synchronised = "UTC", True, True
        self.clock_us: int | None = None
        self.history: list[str] = []
        self.is_denied = self.hangs = False
        # How often it still takes the time service for running after it was switched off.
        self.lags = 0

    @dbus_property(access=PropertyAccess.READ)
    def Timezone(self) -> DBusStr:
        return self.zone

    @dbus_property(access=PropertyAccess.READ)
    def NTP(self) -> DBusBool:
        return self.ntp

    @dbus_property(access=PropertyAccess.READ)
    def NTPSynchronized(self) -> DBusBool:
        return self.synchronised

    @dbus_method()
    async def SetTimezone(self, zone: DBusStr, interactive: DBusBool) -> None:
        await self._check(interactive=interactive)
        if zone == "Middle/Earth":
            raise DBusError("org.freedesktop.timedate1.InvalidTimezone", "Invalid or not installed time zone")
        self.zone = zone

    @dbus_method()
    async def SetNTP(self, on: DBusBool, interactive: DBusBool) -> None:
        await self._check(interactive=interactive)
        self.ntp = on
        self.history.append(f"ntp {on}")

    @dbus_method()
    async def SetTime(self, at_us: DBusInt64, relative: DBusBool, interactive: DBusBool) -> None:
        await self._check(interactive=interactive)
        if self.ntp or self.lags > 0:
            self.lags -= 1
            raise DBusError("org.freedesktop.timedate1.AutomaticTimeSyncEnabled", "Automatic time sync is enabled")
        assert not relative
        self.clock_us = at_us
        self.history.append("set")

    async def _check(self, *, interactive: bool) -> None:
        assert not interactive
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_denied:
            raise DBusError(PERMISSION_DENIED, "not allowed")


class FakeTimesyncd(ServiceInterface):
    def __init__(self) -> None:
        super().__init__(f"{TIMESYNC}.Manager")
        self.packets = 1

    @dbus_property(access=PropertyAccess.READ)
    def SystemNTPServers(self) -> Annotated[list[str], DBusSignature("as")]:
        return ["ntp.example"]

    @dbus_property(access=PropertyAccess.READ)
    def FallbackNTPServers(self) -> Annotated[list[str], DBusSignature("as")]:
        return ["ntp.example", "0.pool.example"]

    @dbus_property(access=PropertyAccess.READ)
    def ServerName(self) -> DBusStr:
        return "ntp.example"

    @dbus_property(access=PropertyAccess.READ)
    def NTPMessage(self) -> Annotated[list[object], DBusSignature("(uuuuittayttttbtt)")]:
        heard_us = int(AT.timestamp() * 1_000_000)
        return [0, 4, 4, 2, -25, 0, 0, b"ABCD", 1, 2, 3, heard_us, False, self.packets, 0]


@pytest.fixture
def timedated(system_bus: SystemBus) -> FakeTimedated:
    fake = FakeTimedated()
    system_bus.offer(TIMEDATE, {"/org/freedesktop/timedate1": [fake]})
    return fake


def test_zone_and_time_service_are_told(timedated: FakeTimedated, system_bus: SystemBus) -> None:
    system_bus.offer(TIMESYNC, {"/org/freedesktop/timesync1": [FakeTimesyncd()]})

    status = Timedate().examine()

    assert (status.zone, status.ntp_on, status.is_synchronised) == ("UTC", True, True)
    assert (status.server, status.servers) == ("ntp.example", ("ntp.example", "0.pool.example"))
    assert status.heard_at == AT


def test_another_time_service_is_told_without_its_servers(timedated: FakeTimedated) -> None:
    status = Timedate().examine()

    assert status.is_synchronised
    assert (status.server, status.servers, status.heard_at) == ("", (), None)


def test_a_server_that_has_never_answered_was_never_heard(timedated: FakeTimedated, system_bus: SystemBus) -> None:
    silent = FakeTimesyncd()
    silent.packets = 0
    system_bus.offer(TIMESYNC, {"/org/freedesktop/timesync1": [silent]})

    assert Timedate().examine().heard_at is None


def test_a_service_that_is_off_synchronises_nothing(timedated: FakeTimedated) -> None:
    timedated.ntp = False

    assert not Timedate().examine().is_synchronised


def test_zone_and_time_service_are_set(timedated: FakeTimedated) -> None:
    Timedate().set_zone("Europe/Vienna")
    Timedate().use_ntp(on=False)

    assert (timedated.zone, timedated.ntp) == ("Europe/Vienna", False)


def test_an_unknown_zone_is_a_value_that_is_invalid(timedated: FakeTimedated) -> None:
    with pytest.raises(ValueIsInvalid):
        Timedate().set_zone("Middle/Earth")


@pytest.mark.parametrize("lags", [0, 3])
def test_the_clock_is_set_while_the_time_service_pauses(timedated: FakeTimedated, lags: int) -> None:
    timedated.lags = lags

    Timedate().set_time(AT)

    assert timedated.history == ["ntp False", "set", "ntp True"]
    assert timedated.clock_us is not None
    # What passed since the browser told its time is added.
    assert 0 <= timedated.clock_us / 1_000_000 - AT.timestamp() < 60


def test_a_time_service_that_was_off_stays_off(timedated: FakeTimedated) -> None:
    timedated.ntp = False

    Timedate().set_time(AT)

    assert timedated.history == ["set"]


def test_a_clock_that_cannot_be_set_leaves_the_time_service_on(
    timedated: FakeTimedated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("station.host.dbus.timedate._ENDS_STEPS", 2)
    timedated.lags = 100

    with pytest.raises(CallIsRefused):
        Timedate().set_time(AT)

    assert timedated.ntp


def test_an_absent_service_is_named(system_bus: SystemBus) -> None:
    with pytest.raises(ServiceAbsent):
        Timedate().examine()


def test_what_polkit_does_not_allow_is_denied(timedated: FakeTimedated) -> None:
    timedated.is_denied = True

    with pytest.raises(AccessIsDenied):
        Timedate().set_zone("Europe/Vienna")


def test_a_service_that_hangs_is_given_up(timedated: FakeTimedated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dbus.Bus.call, "__kwdefaults__", {"timeout_s": 0.2})
    timedated.hangs = True

    with pytest.raises(NoAnswer):
        Timedate().set_zone("Europe/Vienna")
