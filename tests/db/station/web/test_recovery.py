"""A lost password: who stands at the open station gets in again, nobody else does."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.utils import translation

from station import clock
from station.domain.stamps import Stamp
from station.host import power
from station.host.dbus import logind
from station.host.dbus.bus import AccessIsDenied
from station.models import AuditEntry, PasswordRecovery, SecurityEvent
from station.paths import DataDirectory
from station.services import accounts, identity, password_recovery, security_log
from tests.db.station.web.conftest import AT, PASSWORD, sign_in

NEW = "glider mango tulip cabinet"
FORM = {"new": NEW, "repeat": NEW}


class Computer:
    """The station's computer as its clocks see it: boots, steady time, a wall clock that may be lost."""

    def __init__(self) -> None:
        self.at, self.boot, self.steady = AT, 1, timedelta(hours=30)

    def stamp(self) -> Stamp:
        return Stamp(at=self.at, boot_id=self.boot_id(), steady_ms=self.steady // timedelta(milliseconds=1))

    def now(self) -> datetime:
        return self.at

    def boot_id(self) -> str:
        return f"boot-{self.boot}"

    def advance(self, **span: float) -> None:
        self.at += timedelta(**span)
        self.steady += timedelta(**span)

    def start_again(self, *, off: timedelta = timedelta(seconds=20)) -> None:
        self.at += off
        self.boot, self.steady = self.boot + 1, timedelta(seconds=50)
        password_recovery.note_start(self.stamp())


@pytest.fixture
def computer(monkeypatch: pytest.MonkeyPatch) -> Computer:
    computer = Computer()
    for name in ("now", "stamp", "boot_id"):
        monkeypatch.setattr(clock, name, getattr(computer, name))
    return computer


def browser_at(address: str, *, server: str) -> Client:
    return Client(HTTP_HOST="localhost", REMOTE_ADDR=address, SERVER_NAME=server)


@pytest.fixture
def installer() -> Client:
    return browser_at("192.168.32.20", server="192.168.32.1")


STRANGERS = {
    "in the site's network": browser_at("192.168.1.66", server="192.168.1.50"),
    "in the site's network, asking for the service address": browser_at("192.168.1.66", server="192.168.32.1"),
    "with an address of the service port, elsewhere": browser_at("192.168.32.66", server="192.168.1.50"),
    "at the station itself": browser_at("127.0.0.1", server="127.0.0.1"),
    "far away": browser_at("203.0.113.7", server="192.168.1.50"),
    "nowhere": browser_at("", server="192.168.32.1"),
}


def can_sign_in(password: str) -> bool:
    return sign_in(Client(HTTP_HOST="localhost"), password) == 302


def test_somebody_at_the_service_port_sets_a_new_password_after_the_power_was_off(
    admin, computer: Computer, installer: Client, browser: Client, parts
) -> None:
    assert 'id="recovery-begin"' in installer.get("/recovery").content.decode()

    assert installer.post("/recovery/begin").headers["Location"] == "/recovery"
    assert "off and on again" in installer.get("/recovery").content.decode()
    computer.start_again()
    assert 'id="recovery-form"' in installer.get("/recovery").content.decode()
    done = installer.post("/recovery", FORM)

    assert done.headers["Location"] == "/login"
    assert "The new password is valid" in installer.get("/login").content.decode()
    assert can_sign_in(NEW)
    assert not can_sign_in(PASSWORD)
    # Whoever was signed in is out.
    assert browser.get("/").status_code == 302
    # Once, not for everybody who comes later.
    assert installer.post("/recovery", FORM | {"new": "x"}).headers["Location"] == "/recovery"
    assert not PasswordRecovery.objects.exists()


def test_both_steps_are_recorded_and_the_backend_is_told(admin, computer: Computer, installer: Client) -> None:
    installer.post("/recovery/begin")
    computer.start_again()
    installer.post("/recovery", FORM)

    owed = SecurityEvent.objects.filter(critical=True, delivered_at=None).order_by("id")
    assert [event.type for event in owed] == ["LocalPasswordRecoveryRequested", "LocalPasswordRecovered"]
    assert all("192.168.32.20" in event.tech_info for event in owed)
    commands = AuditEntry.objects.order_by("id").values_list("command", "actor")
    assert list(commands) == [
        ("RequestPasswordRecovery", "192.168.32.20"),
        ("ReplaceLostPassword", "192.168.32.20"),
    ]
    assert NEW not in str(list(AuditEntry.objects.values())) + str(list(SecurityEvent.objects.values()))


@pytest.mark.parametrize("where", STRANGERS)
def test_a_stranger_begins_nothing(admin, computer: Computer, installer: Client, where: str) -> None:
    stranger = STRANGERS[where]

    stranger.post("/recovery/begin")
    computer.start_again()
    stranger.post("/recovery", FORM)
    installer.post("/recovery", FORM)

    assert not PasswordRecovery.objects.exists()
    assert can_sign_in(PASSWORD)
    assert 'id="recovery-begin"' not in stranger.get("/recovery").content.decode()


@pytest.mark.parametrize("where", STRANGERS)
def test_a_stranger_neither_sees_nor_ends_what_the_installer_has_begun(
    admin, computer: Computer, installer: Client, where: str
) -> None:
    stranger = STRANGERS[where]
    installer.post("/recovery/begin")
    computer.start_again()

    assert 'data-state="none"' in stranger.get("/recovery").content.decode()
    stranger.post("/recovery", FORM | {"new": "attacker words of his own", "repeat": "attacker words of his own"})

    assert can_sign_in(PASSWORD)
    assert installer.post("/recovery", FORM).headers["Location"] == "/login"


def test_switching_the_power_off_and_on_alone_opens_nothing(admin, computer: Computer, installer: Client) -> None:
    for _ in range(3):
        computer.start_again()
        installer.post("/recovery", FORM)

    assert can_sign_in(PASSWORD)


def test_without_a_loss_of_power_nothing_opens(admin, computer: Computer, installer: Client) -> None:
    installer.post("/recovery/begin")
    # The software was restarted: the same start of the computer.
    password_recovery.note_start(computer.stamp())
    installer.post("/recovery", FORM)

    assert can_sign_in(PASSWORD)


def test_a_restart_by_order_takes_the_request_back(
    admin, computer: Computer, installer: Client, data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logind, "reboot", lambda: None)
    installer.post("/recovery/begin")

    power.SystemPower(data).reboot()
    computer.start_again()
    installer.post("/recovery", FORM)

    assert can_sign_in(PASSWORD)
    # An order of long ago says nothing about the next loss of power.
    installer.post("/recovery/begin")
    computer.start_again()
    assert installer.post("/recovery", FORM).headers["Location"] == "/login"


def test_a_restart_that_was_refused_takes_nothing_back(
    admin, computer: Computer, installer: Client, data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise AccessIsDenied("org.freedesktop.login1", "polkit")

    monkeypatch.setattr(logind, "reboot", refuse)
    installer.post("/recovery/begin")
    with pytest.raises(power.RebootIsRefused):
        power.SystemPower(data).reboot()

    computer.start_again()

    assert installer.post("/recovery", FORM).headers["Location"] == "/login"


@pytest.mark.parametrize(("waited", "off"), [(16, timedelta(seconds=20)), (1, timedelta(minutes=40))])
def test_a_request_is_forgotten_when_the_power_stays_on_or_off_for_too_long(
    admin, computer: Computer, installer: Client, *, waited: int, off: timedelta
) -> None:
    installer.post("/recovery/begin")
    computer.advance(minutes=waited)
    assert ('data-state="requested"' in installer.get("/recovery").content.decode()) is (waited < 15)
    computer.advance(hours=1 if waited > 15 else 0)
    computer.start_again(off=off)
    installer.post("/recovery", FORM)

    assert can_sign_in(PASSWORD)


def test_the_window_closes_ten_minutes_after_the_start_and_with_the_next_one(
    admin, computer: Computer, installer: Client
) -> None:
    installer.post("/recovery/begin")
    computer.start_again()
    computer.advance(minutes=9, seconds=11)
    installer.post("/recovery", FORM)
    assert can_sign_in(PASSWORD)

    installer.post("/recovery/begin")
    computer.start_again()
    computer.start_again()
    installer.post("/recovery", FORM)
    assert can_sign_in(PASSWORD)


def test_a_clock_that_the_power_cut_has_lost_keeps_nobody_out(admin, computer: Computer, installer: Client) -> None:
    installer.post("/recovery/begin")

    computer.start_again(off=timedelta(days=-3_000))

    assert installer.post("/recovery", FORM).headers["Location"] == "/login"


def test_a_weak_new_password_is_refused_and_another_may_be_tried(admin, computer: Computer, installer: Client) -> None:
    installer.post("/recovery/begin")
    computer.start_again()

    weak = installer.post("/recovery", {"new": "adminadminadmin", "repeat": "adminadminadmin"})
    differing = installer.post("/recovery", FORM | {"repeat": "something else entirely"})

    assert (weak.status_code, differing.status_code) == (400, 400)
    assert "repeats itself" in weak.content.decode()
    assert can_sign_in(PASSWORD)
    assert installer.post("/recovery", FORM).headers["Location"] == "/login"


def test_many_requests_make_one_row_and_no_flood(admin, computer: Computer, installer: Client) -> None:
    for _ in range(40):
        installer.post("/recovery/begin")

    assert PasswordRecovery.objects.count() == 1
    assert SecurityEvent.objects.filter(type="LocalPasswordRecoveryRequested").count() == security_log.MOST_OF_A_TYPE


def test_the_log_in_page_leads_to_the_ways_back_in_both_languages(admin, computer: Computer, stranger: Client) -> None:
    assert 'href="/recovery"' in stranger.get("/login").content.decode()

    assert "192.168.32.1" in stranger.get("/recovery").content.decode()
    german = stranger.get("/recovery", headers={"accept-language": "de"}).content.decode()
    assert "Service-Schnittstelle" in german
    with translation.override("de"):
        assert "/WebUi/password/reset" in german


@pytest.fixture
def sticker(db: Any) -> str:
    password = "R7KP2MHQ8XZT"
    identity.save(
        identity.Identity(serial="100002440", production_date="2025-09", factory_password_hash=make_password(password))
    )
    accounts.ensure_admin(at=AT)
    return password


def test_the_header_suggests_a_password_of_ones_own_until_it_is_set(stranger: Client, sticker: str, parts) -> None:
    assert sign_in(stranger, sticker) == 302
    assert 'id="own-password"' in stranger.get("/").content.decode()
    assert 'id="own-password"' in stranger.get("/sessions").content.decode()

    stranger.post("/profile", {"old": sticker, **FORM})

    assert 'id="own-password"' not in stranger.get("/").content.decode()


def test_the_suggestion_can_be_declined_for_good(stranger: Client, sticker: str, parts) -> None:
    sign_in(stranger, sticker)

    assert stranger.post("/profile/keep-password").headers["Location"] == "/profile"

    assert 'id="own-password"' not in stranger.get("/").content.decode()
    another = Client(HTTP_HOST="localhost")
    sign_in(another, sticker)
    assert 'id="own-password"' not in another.get("/").content.decode()
    assert SecurityEvent.objects.filter(type="FactoryPasswordKept").exists()
    # The next owner is asked again.
    accounts.restore_factory_password(at=AT)
    sign_in(another, sticker)
    assert 'id="own-password"' in another.get("/").content.decode()
