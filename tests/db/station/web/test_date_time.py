"""The page of the time: zone, sources, and the browser's time once."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from station import clock
from station.host import time_service
from station.host.ports import TimeStatus
from station.host.wall_clock import ClockNote
from station.models import AuditEntry, SecurityEvent
from station.paths import DataDirectory
from station.services import configuration
from tests.db.station.web.conftest import Parts
from tests.system_bus import SystemBus

PAGE, SET = "/station/date-time", "/station/date-time/set"


def page(browser: Client, language: str = "en") -> str:
    answer = browser.get(PAGE, headers={"Accept-Language": language})
    assert answer.status_code == 200
    return answer.content.decode()


def save(browser: Client, language: str = "en", **values: object) -> tuple[int, str]:
    form = {"zone": "Europe/Berlin", "source": ["NTP", "HeartBeat"]} | values
    answer = browser.post(PAGE, form, headers={"Accept-Language": language}, follow=True)
    return answer.status_code, answer.content.decode()


def cut_the_link(data: DataDirectory) -> None:
    data.simulation.mkdir(exist_ok=True)
    (data.simulation / "host.json").write_text(json.dumps({"backend_link": False}))


class FakeTime:
    """A computer whose clock can be set; `status` is what it says."""

    can_be_set = True

    def __init__(self) -> None:
        self.status = TimeStatus(zone="Europe/Berlin", ntp_on=True, is_synchronised=False)
        self.clock: list[datetime] = []

    def examine(self) -> TimeStatus:
        return self.status

    def set_zone(self, name: str) -> None:
        raise AssertionError(name)

    def use_ntp(self, *, on: bool) -> None:
        raise AssertionError(on)

    def set_time(self, at: datetime) -> None:
        self.clock.append(at)


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(time_service, "for_settings", lambda: fake)
    return fake


def test_the_time_its_source_and_its_servers_are_shown(browser: Client) -> None:
    shown = page(browser)

    assert 'data-clock="Europe/Berlin"' in shown
    assert 'data-fact="source">NTP · 0.pool.ntp.example<' in shown
    assert "1.pool.ntp.example" in shown
    assert " ago<" in shown


def test_without_a_time_server_the_station_says_that_it_has_no_set_time(browser: Client, data: DataDirectory) -> None:
    cut_the_link(data)

    assert "The station has no set time." in page(browser)
    assert "Die Station hat keine Zeiteinstellung." in page(browser, "de")


def test_the_backends_time_stands_in_for_a_time_server(browser: Client, data: DataDirectory) -> None:
    cut_the_link(data)
    time_service.note().write("backend", clock.now())

    shown = page(browser)

    assert "The clock goes on with the time from: OCPP (heartbeat)." in shown
    assert "The station has no set time." not in shown


def test_zone_and_sources_are_the_keys_of_ocpp_and_hold_on_every_page(
    browser: Client, parts: Parts, data: DataDirectory
) -> None:
    data.simulation.mkdir()
    _status, said = save(browser, zone="America/New_York", source=["HeartBeat"])

    assert "Saved." in said
    assert configuration.get("TimeZone") == "America/New_York"
    assert configuration.get_list("TimeSource") == ("HeartBeat",)
    assert AuditEntry.objects.get(command="ChangeConfiguration").actor == "admin"
    status = time_service.for_settings().examine()
    assert (status.zone, status.ntp_on) == ("America/New_York", False)
    assert "(America/New_York)" in browser.get("/").content.decode()


def test_the_browsers_zone_is_taken_when_it_is_wanted(browser: Client) -> None:
    save(browser, **{"browser-zone-wanted": "true", "browser-zone": "Europe/Vienna"})

    assert configuration.get("TimeZone") == "Europe/Vienna"


def test_without_javascript_the_browsers_zone_is_not_known_and_nothing_is_lost(browser: Client) -> None:
    status, said = save(browser, "de", **{"browser-zone-wanted": "true", "browser-zone": "", "source": ["NTP"]})

    assert status == 422
    assert "Der Browser hat seine Zeitzone nicht mitgeteilt." in said
    assert configuration.get_list("TimeSource") == ("NTP", "HeartBeat")
    assert 'value="HeartBeat" checked' not in said


@pytest.mark.parametrize("zone", ["Middle/Earth", "", "../../etc/passwd"])
def test_a_zone_that_does_not_exist_is_refused_beside_its_field(browser: Client, zone: str) -> None:
    status, _said = save(browser, zone=zone)

    assert status == 422
    assert configuration.get("TimeZone") == "Europe/Berlin"


def test_nothing_at_all_cannot_keep_the_clock(browser: Client) -> None:
    status, said = save(browser, source=[])

    assert status == 422
    assert "without them nothing keeps the clock" in said


def test_a_simulated_station_says_that_its_clock_is_never_set(browser: Client) -> None:
    assert "it is never set." in page(browser)
    said = browser.post(SET, {"now-ms": "1800000000000"}, follow=True).content.decode()
    assert "keeps the clock of the computer it runs on" in said


def test_the_browser_sets_the_clock_once_and_its_person_stays_signed_in(
    browser: Client, computer: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, leap = clock.now, timedelta(days=400)

    def leaping() -> datetime:
        return real() + (leap if computer.clock else timedelta())

    monkeypatch.setattr(clock, "now", leaping)
    at = real() + leap

    said = browser.post(SET, {"now-ms": str(int(at.timestamp() * 1000))}, follow=True).content.decode()

    assert "The clock was set." in said
    assert abs(computer.clock[0] - at) < timedelta(seconds=1)
    assert "Date and time settings" in said
    assert AuditEntry.objects.get(command="SetClock").actor == "admin"
    assert SecurityEvent.objects.filter(type="SettingSystemTime").exists()
    noted = time_service.note().read()
    assert noted is not None
    assert noted.source == "browser"


@pytest.mark.parametrize("text", ["", "now", "-5", "1e12", "9" * 30, "0", "99999999999999"])
def test_what_is_no_time_of_today_sets_no_clock(browser: Client, computer: FakeTime, text: str) -> None:
    assert browser.post(SET, {"now-ms": text}, follow=True).status_code == 200

    assert computer.clock == []


def test_a_clock_that_a_time_server_keeps_is_left_alone(browser: Client, computer: FakeTime) -> None:
    computer.status = TimeStatus(zone="Europe/Berlin", ntp_on=True, is_synchronised=True)

    said = browser.post(SET, {"now-ms": "1800000000000"}, follow=True).content.decode()

    assert "A time server keeps the clock" in said
    assert computer.clock == []


def test_a_note_of_another_boot_says_nothing(data: DataDirectory) -> None:
    place = data.run / "note"
    place.write_text("another-boot\nbackend\n2026-01-01T00:00:00+00:00\n")

    assert ClockNote(place).read() is None
    ClockNote(place).write("backend", datetime(2026, 5, 1, tzinfo=UTC))
    assert ClockNote(place).read() is not None


def test_on_a_computer_without_the_service_the_page_says_so_and_settings_are_kept(
    browser: Client, system_bus: SystemBus, settings: Any
) -> None:
    settings.SIMULATE = False

    assert "Not available: timedate does not run on this computer." in page(browser)
    _status, said = save(browser, zone="Europe/Vienna")

    assert "the computer has not taken them over yet. Not available: timedate" in said
    assert configuration.get("TimeZone") == "Europe/Vienna"
    said = browser.post(SET, {"now-ms": "1800000000000"}, follow=True).content.decode()
    assert "Not available: timedate" in said
