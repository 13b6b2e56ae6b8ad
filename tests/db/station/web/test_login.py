"""Signing in: the factory's password, delays after failures, sessions that end."""

from datetime import timedelta

import pytest
from django.contrib.auth.hashers import make_password
from django.core.exceptions import ValidationError
from django.test import Client
from django.utils import translation

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused, InvalidValue
from station.models import SecurityEvent, SignInDelay
from station.services import accounts, configuration, identity, sign_in_delays
from tests.db.station.web.conftest import AT, PASSWORD, sign_in

FAR, NEAR = "203.0.113.7", "192.168.32.20"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch):
    class Now:
        at = AT

        def advance(self, **span: float) -> None:
            self.at += timedelta(**span)

    now = Now()
    monkeypatch.setattr(clock, "now", lambda: now.at)
    return now


def failures(count: int, *, browser: Client, **headers: str) -> list[int]:
    return [sign_in(browser, "wrong", **headers) for _ in range(count)]


@pytest.mark.django_db
def test_a_station_with_a_factory_password_never_accepts_its_serial_number(stranger: Client):
    identity.save(
        identity.Identity(
            serial="100002440", production_date="2025-08", factory_password_hash=make_password("r7kp2mhq8xzt")
        )
    )
    accounts.ensure_admin(at=AT)

    assert sign_in(stranger, "100002440") == 403
    assert sign_in(stranger, "r7kp2mhq8xzt") == 302


@pytest.mark.django_db
def test_an_older_station_accepts_its_serial_number_for_a_first_login_that_forces_a_change(stranger: Client, parts):
    identity.save(identity.Identity(serial="100002440", production_date="2024-03"))
    accounts.ensure_admin(at=AT)

    assert sign_in(stranger, "100002440") == 302
    assert stranger.get("/").headers["Location"] == "/profile"
    assert stranger.post("/connectors/1/stop").headers["Location"] == "/profile"
    assert stranger.get("/admin/").headers["Location"] == "/profile"
    changed = stranger.post("/profile", {"old": "100002440", "new": PASSWORD, "repeat": PASSWORD})
    assert changed.headers["Location"] == "/"
    assert stranger.get("/").status_code == 200


@pytest.mark.django_db
def test_a_new_station_without_a_factory_password_lets_nobody_in(stranger: Client):
    identity.save(identity.Identity(serial="100002440", production_date="2025-09"))
    accounts.ensure_admin(at=AT)

    assert [sign_in(stranger, word) for word in ("100002440", "admin", "")] == [403, 403, 403]


def test_a_changed_password_survives_the_next_start(admin):
    accounts.ensure_admin(at=AT)

    assert accounts.sign_in(account="admin", password=PASSWORD, address=NEAR, at=AT) == admin


def test_after_the_factory_password_is_restored_the_changed_one_is_gone(admin, stranger: Client):
    identity.save(identity.Identity(serial="1", factory_password_hash=make_password("r7kp2mhq8xzt")))

    accounts.restore_factory_password(at=AT)

    assert sign_in(stranger, PASSWORD) == 403
    assert sign_in(stranger, "r7kp2mhq8xzt") == 302
    assert stranger.get("/").status_code == 200


def test_five_failures_start_a_delay_that_doubles_up_to_a_quarter_of_an_hour():
    waits = [sign_in_delays.delay_s(count) for count in range(1, 13)]

    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]


def test_after_five_failures_even_the_right_password_has_to_wait(admin, stranger: Client, now):
    assert failures(5, browser=stranger) == [403] * 5

    assert sign_in(stranger) == 429
    now.advance(seconds=31)
    assert sign_in(stranger) == 302
    assert not SignInDelay.objects.filter(account="admin").exists()


def test_the_delay_outlives_a_restart_but_no_clock_that_was_set_back(admin, stranger: Client, now):
    failures(5, browser=stranger)

    assert SignInDelay.objects.get(account="admin").blocked_until == now.at + timedelta(seconds=30)
    now.advance(days=-3)
    assert sign_in(stranger) == 302


def test_failures_from_afar_do_not_keep_the_installer_out(admin, stranger: Client, now):
    failures(5, browser=stranger, REMOTE_ADDR=FAR)
    for number in range(40):
        sign_in(stranger, "wrong", REMOTE_ADDR=f"203.0.113.{100 + number}")

    assert sign_in(stranger, REMOTE_ADDR="198.51.100.9") == 429
    assert sign_in(stranger, REMOTE_ADDR=NEAR) == 302


def test_an_unknown_user_gets_the_same_answer_as_a_wrong_password(admin, stranger: Client):
    wrong = stranger.post("/login", {"username": "admin", "password": "wrong"})
    unknown = stranger.post("/login", {"username": "nobody", "password": "wrong"})

    assert wrong.status_code == unknown.status_code == 403
    assert "User name or password is wrong." in unknown.content.decode()


def test_every_failure_stands_in_the_security_log_without_the_password(admin, stranger: Client):
    sign_in(stranger, "canary-secret", REMOTE_ADDR=FAR)

    event = SecurityEvent.objects.get(type="LocalSignInFailed")
    assert FAR in event.tech_info
    assert "canary" not in event.tech_info
    assert not event.critical


def test_a_session_ends_after_fifteen_idle_minutes(admin, stranger: Client, parts, now):
    sign_in(stranger)
    now.advance(minutes=14)
    assert stranger.get("/").status_code == 200
    now.advance(minutes=14)
    assert stranger.get("/").status_code == 200
    now.advance(minutes=16)

    assert stranger.get("/").headers["Location"].startswith("/login")


def test_a_page_that_asks_by_itself_keeps_no_session_alive(admin, stranger: Client, parts, now):
    sign_in(stranger)
    for _ in range(4):
        now.advance(minutes=4)
        answer = stranger.get("/sim/world", HTTP_HX_REQUEST="true")

    assert answer.headers["HX-Redirect"] == "/login"


def test_a_session_ends_after_twelve_hours_whatever_is_done(admin, stranger: Client, parts, now):
    sign_in(stranger)
    for _ in range(12 * 6 - 1):
        now.advance(minutes=10)
        assert stranger.get("/profile").status_code == 200
    now.advance(minutes=10)

    assert stranger.get("/profile").status_code == 302


@pytest.mark.parametrize(("minutes", "answer"), [(-5, 200), (-60, 302)])
def test_a_corrected_clock_ends_no_session_but_one_set_far_back_does(
    admin, stranger: Client, parts, now, *, minutes: int, answer: int
):
    sign_in(stranger)

    now.advance(minutes=minutes)

    assert stranger.get("/").status_code == answer


def test_the_sixth_session_ends_the_oldest(admin, parts, now):
    browsers = [Client(HTTP_HOST="localhost") for _ in range(6)]
    for browser in browsers:
        sign_in(browser)
        now.advance(seconds=1)

    assert [browser.get("/").status_code for browser in browsers] == [302, 200, 200, 200, 200, 200]


def test_a_new_password_ends_all_other_sessions_and_needs_the_old_one(browser: Client, parts):
    other = Client(HTTP_HOST="localhost")
    sign_in(other)
    new = "another four unrelated words"

    refused = browser.post("/profile", {"old": "guess", "new": new, "repeat": new})
    changed = browser.post("/profile", {"old": PASSWORD, "new": new, "repeat": new})

    assert refused.status_code == 400
    assert changed.headers["Location"] == "/"
    assert browser.get("/").status_code == 200
    assert other.get("/").status_code == 302


@pytest.mark.parametrize(
    "new", ["short", "x" * 129, "passwordpassword", "my station 100002440", "TECHNAGON-station", PASSWORD]
)
def test_a_weak_password_is_refused_with_a_reason(browser: Client, new: str):
    answer = browser.post("/profile", {"old": PASSWORD, "new": new, "repeat": new})

    assert answer.status_code == 400
    assert 'class="field-error"' in answer.content.decode()


def test_a_password_set_by_the_backend_has_to_be_changed_at_the_next_sign_in(admin, stranger: Client):
    accounts.take_password_from_backend("chosen by the operator", AT)

    assert sign_in(stranger, "chosen by the operator") == 302
    assert stranger.get("/").headers["Location"] == "/profile"
    with pytest.raises(InvalidValue):
        accounts.take_password_from_backend("short", AT)


def test_the_password_rules_hold_for_every_way_of_setting_it(admin):
    with pytest.raises(ValidationError):
        accounts.set_password(admin, "100002440", origin=Origin.BACKEND, at=AT)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("adminadminadmin", "repeats itself"),
        ("aaaaaaaaaaaa", "repeats itself"),
        ("abcabcabcabc", "repeats itself"),
        ("abcdefghijklmnop", "follows the alphabet"),
        ("0123456789012", "follows the alphabet"),
        ("qwertzuiopasdf", "common words"),
        ("iloveyou1234", "common words"),
        ("Wallbox1234!", "common words"),
        ("Sommer2026!!!", "common words"),
    ],
)
def test_a_password_that_is_guessed_soon_is_refused_and_told_why(admin, new: str, reason: str):
    with pytest.raises(ValidationError) as refusal:
        accounts.set_password(admin, new, origin=Origin.WEB, at=AT)

    said = " ".join(refusal.value.messages)
    assert reason in said
    assert "at least four words" in said


@pytest.mark.parametrize(
    ("new", "what"),
    [
        ("glider 1000-02440 mango tulip", "serial number"),
        ("glider Admin mango tulip", "user name"),
        ("glider T*E*C*H*N*A*G*O*N mango", "maker"),
        ("glider mango DE*ABC*E1234 tulip", "EVSE ID"),
        ("glider Parkplatz West tulip", "label"),
        ("glider mango bench-host-7 tulip", "name of the computer"),
    ],
)
def test_a_password_with_something_others_can_read_is_refused_and_told_what(
    admin, monkeypatch: pytest.MonkeyPatch, new: str, what: str
):
    monkeypatch.setattr("socket.gethostname", lambda: "bench-host-7")
    known = {"/hw/connectors/1/evseId": "DE*ABC*E1234", "/hw/connectors/2/evseLabel": "Parkplatz West"}
    configuration.change(known, origin=Origin.LOCAL, actor="test", at=AT)

    with pytest.raises(ValidationError) as refusal:
        accounts.set_password(admin, new, origin=Origin.WEB, at=AT)

    assert what in " ".join(refusal.value.messages)
    accounts.set_password(admin, "glider mango tulip", origin=Origin.WEB, at=AT)


@pytest.mark.parametrize("new", ["R7KP2MHQ8XZT", "r7kp2mhq8xzt"])
def test_the_password_of_the_sticker_is_no_new_password(admin, new: str):
    identity.save(identity.Identity(serial="100002440", factory_password_hash=make_password("R7KP2MHQ8XZT")))

    with pytest.raises(ValidationError, match="password of the sticker"):
        accounts.set_password(admin, new, origin=Origin.WEB, at=AT)


@pytest.mark.parametrize("way", [Origin.BACKEND, Origin.LOCAL])
def test_the_backend_and_the_command_line_cannot_set_a_weak_password_either(admin, way: Origin):
    configuration.change({"/ocpp/trustPlainLink": "true"}, origin=Origin.LOCAL, actor="test", at=AT)

    with pytest.raises(ConfigurationRefused) as refusal:
        configuration.change({"/WebUi/password/reset": "adminadminadmin"}, origin=way, actor="test", at=AT)

    assert "repeats itself" in str(refusal.value.problems[0].data)
    assert accounts.verify_password(admin, PASSWORD)


def test_the_words_about_a_weak_password_are_german_for_germans(admin):
    with translation.override("de"), pytest.raises(ValidationError) as refusal:
        accounts.set_password(admin, "adminadminadmin", origin=Origin.WEB, at=AT)

    assert "wiederholt sich" in " ".join(refusal.value.messages)


def test_signing_out_ends_the_session(browser: Client, parts):
    browser.post("/logout")

    assert browser.get("/").status_code == 302


def test_a_login_leads_back_to_the_page_that_was_asked_for_but_nowhere_else(admin, stranger: Client):
    form = {"username": "admin", "password": PASSWORD}

    assert stranger.post("/login?next=/station/connectors", form).headers["Location"] == "/station/connectors"
    assert stranger.get("/login?next=https://evil.example/").headers["Location"] == "/"


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "stands on the sticker inside the housing"), ("de", "steht auf dem Aufkleber im Gehäuse")],
)
def test_the_login_names_the_station_and_says_where_the_password_stands(
    admin, stranger: Client, language: str, said: str
):
    page = stranger.get("/login", HTTP_ACCEPT_LANGUAGE=language).content.decode()

    assert "<dd>100002440</dd>" in page
    assert "<dd>TE100002440</dd>" in page
    assert said in page
    assert 'href="/recovery"' in page


@pytest.mark.django_db
def test_a_serial_number_that_is_the_password_is_told_to_no_stranger(stranger: Client, parts):
    identity.save(identity.Identity(serial="100002440", production_date="2025-07"))
    accounts.ensure_admin(at=AT)

    assert "100002440" not in stranger.get("/login").content.decode()


def test_what_is_sent_after_the_session_has_ended_gets_a_sentence_and_the_way_back(db, stranger: Client):
    answer = stranger.post("/station/power", {"power-station-mainsMaxCurrent": "20000"})

    assert answer.headers["Location"] == "/login?ended=1&next=%2Fstation%2Fpower"
    assert "Your session had ended, so nothing was saved." in stranger.get(answer.headers["Location"]).content.decode()


def test_the_way_back_never_leads_to_an_address_that_only_takes_what_is_sent(stranger: Client):
    assert stranger.post("/display/branding/logo/operator/remove").headers["Location"] == "/login?ended=1"
