"""The vendor's access that somebody has forgotten ends by itself, also over restarts and when the clock jumps."""

from datetime import UTC, datetime, timedelta

import pytest

from station import host
from station.domain.commands import Origin
from station.domain.link_security import NO_LINK, LinkSecurity
from station.domain.stamps import Stamp
from station.domain.vendor_access import Door
from station.host.dbus.bus import ServiceAbsent
from station.host.firewall import Openings
from station.host.vendor_access import SimulatedVendorAccess
from station.models import AuditEntry, LogEntry, SecurityEvent
from station.paths import DataDirectory
from station.services import configuration, vendor_access

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
REMOTE, LOCAL = vendor_access.KEYS[Door.REMOTE], vendor_access.KEYS[Door.LOCAL]
HOUR_MS = 3_600_000


class Desk:
    """The computer: what is open, or that nothing can be."""

    is_simulated = True

    def __init__(self, access: object) -> None:
        self.vendor_access = access


class Nothing:
    """A computer without the units."""

    def is_open(self, door: Door) -> bool:
        raise ServiceAbsent("systemd", "this unit is not installed")

    def switch(self, door: Door, *, is_open: bool) -> None:
        self.is_open(door)


@pytest.fixture
def doors(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> SimulatedVendorAccess:
    access = SimulatedVendorAccess(data.simulation / "vendor_access.json")
    monkeypatch.setattr(host, "for_settings", lambda: Desk(access))
    return access


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.clock.stamp", lambda: stamp(0))


def stamp(hours: float, *, jump: timedelta = timedelta(), boot: str = "one", steady_h: float | None = None) -> Stamp:
    steady_ms = round((hours if steady_h is None else steady_h) * HOUR_MS)
    return Stamp(at=AT + timedelta(hours=hours) + jump, boot_id=boot, steady_ms=steady_ms)


def set_keys(value: str, *names: str, origin: Origin = Origin.WEB, link: LinkSecurity = NO_LINK) -> None:
    configuration.change(dict.fromkeys(names, value), origin=origin, actor="admin", at=AT, link=link)


def is_open() -> bool:
    return configuration.get_bool(REMOTE)


@pytest.mark.parametrize("origin", [Origin.WEB, Origin.BACKEND, Origin.LOCAL])
def test_whoever_opens_it_the_computer_opens_and_after_a_day_closes_it(
    doors: SimulatedVendorAccess, data: DataDirectory, origin: Origin
):
    proven = LinkSecurity(encrypted=True, certificate_checked=True, name_checked=True, root_trusted=True)
    set_keys("true", REMOTE, origin=origin, link=proven)
    assert doors.is_open(Door.REMOTE)
    assert Openings.read(data.firewall).ports == (22,)

    vendor_access.count(stamp(23.9))
    assert is_open()
    vendor_access.count(stamp(24))

    assert not is_open()
    assert not doors.is_open(Door.REMOTE)
    assert Openings.read(data.firewall).ports == ()
    ended = AuditEntry.objects.order_by("-id")[0]
    assert (ended.actor, ended.data) == (vendor_access.ACTOR, {REMOTE: "false"})
    assert SecurityEvent.objects.filter(type="ReconfigurationOfSecurityParameters").count() == 2


def test_a_clock_set_back_by_a_year_does_not_keep_it_open(doors: SimulatedVendorAccess):
    set_keys("true", REMOTE)
    for hour in range(1, 24):
        vendor_access.count(stamp(hour, jump=timedelta(days=-365)))
        assert is_open()

    vendor_access.count(stamp(24, jump=timedelta(days=-365)))

    assert not is_open()


def test_a_clock_set_forward_by_a_year_does_not_end_it_at_once(doors: SimulatedVendorAccess):
    set_keys("true", REMOTE)
    vendor_access.count(stamp(1, jump=timedelta(days=365)))

    assert is_open()
    assert vendor_access.left(stamp(1, jump=timedelta(days=365))) == {Door.REMOTE: timedelta(hours=23)}


def test_a_restart_of_the_computer_opens_it_again_for_the_rest_of_its_day_only(doors: SimulatedVendorAccess):
    set_keys("true", REMOTE)
    vendor_access.count(stamp(20))
    doors.switch(Door.REMOTE, is_open=False)

    vendor_access.count(stamp(21, boot="two", steady_h=0.01))
    assert doors.is_open(Door.REMOTE)
    vendor_access.count(stamp(24.1, boot="two", steady_h=3.1))

    assert not is_open()
    assert not doors.is_open(Door.REMOTE)


def test_each_access_has_a_day_of_its_own_and_opening_it_anew_begins_a_new_one(doors: SimulatedVendorAccess):
    set_keys("true", REMOTE, LOCAL)
    vendor_access.count(stamp(20))
    set_keys("false", LOCAL)
    set_keys("true", LOCAL)

    assert vendor_access.left(stamp(0))[Door.LOCAL] == timedelta(hours=24)
    assert vendor_access.left(stamp(20))[Door.REMOTE] == timedelta(hours=4)


def test_setting_what_is_set_does_not_prolong_it(doors: SimulatedVendorAccess):
    set_keys("true", REMOTE)
    vendor_access.count(stamp(20))
    set_keys("true", REMOTE)

    assert vendor_access.left(stamp(20)) == {Door.REMOTE: timedelta(hours=4)}


def test_an_access_that_an_earlier_version_left_open_has_its_day_from_the_first_count(doors: SimulatedVendorAccess):
    configuration.store(REMOTE, "true", AT)

    vendor_access.count(stamp(0))
    vendor_access.count(stamp(24))

    assert not is_open()


def test_a_factory_reset_closes_it(doors: SimulatedVendorAccess):
    set_keys("true", REMOTE, LOCAL)
    configuration.reset_to_factory(origin=Origin.WEB, actor="admin", at=AT)

    assert [doors.is_open(door) for door in Door] == [False, False]
    assert vendor_access.left(stamp(0)) == {}


def test_a_computer_without_the_units_leaves_one_entry_and_loses_no_setting(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(host, "for_settings", lambda: Desk(Nothing()))
    set_keys("true", REMOTE)
    vendor_access.count(stamp(1))

    (entry,) = LogEntry.objects.filter(code=vendor_access.NOT_SWITCHED_CODE)
    assert "not installed" in entry.data["reason"]
    (remote,) = [door for door in vendor_access.doors(stamp(1)) if door.door is Door.REMOTE]
    assert (remote.is_wanted, remote.is_switched) == (True, None)

    set_keys("false", REMOTE)
    entry.refresh_from_db()
    assert entry.cleared_at is not None
