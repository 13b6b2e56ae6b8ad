"""Dashboard and Connectors: what they say in both languages, and what their buttons do."""

import re
from dataclasses import replace

import pytest
from django.test import Client

from station import clock
from station.domain.commands import Origin, Outcome, Refusal, Reset, StartSession, Status, StopSession, UnlockConnector
from station.domain.faults import FaultCode
from station.domain.snapshot import BackendSnapshot, DescriptionMistake, SessionSnapshot
from station.models import ChargingSession, Connector
from station.services import configuration
from station.web.pages import health
from tests.db.station.web.conftest import AT, Door, Parts, charging, point


def page(browser: Client, address: str = "/", language: str = "en") -> str:
    browser.cookies["django_language"] = language
    text = browser.get(address).content.decode()
    return re.sub(r"\s+", " ", text.replace("\N{NO-BREAK SPACE}", " "))


def test_a_charging_point_shows_session_power_energy_and_who_sets_the_limit(browser: Client, parts: Parts):
    parts.show(charging(1), point(2))

    text = page(browser)

    assert 'data-role="state">Charging<' in text
    assert "10.88 kW" in text
    assert 'data-role="energy">18.24 kWh<' in text
    assert 'data-role="limit">16 A<small data-role="limit-source">Mains limit of the station<' in text
    assert "04A2…" in text
    assert "04A2B3C4" not in text


def test_the_same_page_in_german_uses_german_words_and_commas(browser: Client, parts: Parts):
    parts.show(charging(1), point(2))

    text = page(browser, language="de")

    assert '<html lang="de">' in text
    assert 'data-role="state">Lädt<' in text
    assert 'data-role="energy">18,24 kWh<' in text
    assert "Netzanschluss der Station" in text


@pytest.mark.parametrize("code", list(FaultCode))
def test_a_fault_is_explained_in_both_languages(browser: Client, parts: Parts, code: FaultCode):
    parts.show(point(1, status="Faulted", faults=(code.value,)), point(2))

    english, german = page(browser), page(browser, language="de")
    said = [re.search(r'class="fault".*?<strong>(.*?)</strong>', text) for text in (english, german)]

    assert said[0]
    assert said[1]
    assert said[0][1] != said[1][1]


def test_a_profile_that_cannot_be_read_is_named_with_the_way_out(browser: Client, parts: Parts):
    parts.show(point(1, status="SuspendedEVSE", limit_ma=0, limit_source="unreadable_profile"))

    for text in (page(browser), page(browser, language="de")):
        assert "SetChargingProfile" in text
        assert "ClearChargingProfile" in text


def test_all_limits_are_listed_and_the_smallest_is_marked(browser: Client, parts: Parts):
    parts.show(point(1, limit_ma=10_000, limit_source="cluster", limits={"rating": 32_000, "cluster": 10_000}))

    text = page(browser)

    assert re.search(r'data-rules="true"><span>Load management \(cluster\).*?<strong>10 A<', text)


def test_without_the_control_loop_the_recorded_state_is_shown_and_no_button(browser: Client, parts: Parts):
    parts.hardware = None
    Connector.objects.create(number=1, status="Charging")
    ChargingSession.objects.create(
        connector_id=1, id_tag="04A2B3C4", started_at=AT, meter_start_wh=1000, meter_last_wh=3500, meter_last_at=AT
    )

    text = page(browser)

    assert "Last recorded: " in text
    assert 'data-role="energy">2.50 kWh<' in text
    assert "data-action=" not in text


def test_an_old_snapshot_is_not_shown_as_a_live_one(browser: Client, parts: Parts):
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, at=AT)

    assert "Last recorded: " in page(browser)
    assert browser.get("/healthz").status_code == 503


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        (None, "The OCPP client does not answer."),
        (BackendSnapshot(connected=False, registration="", url=""), "No OCPP server is configured."),
        (
            BackendSnapshot(connected=False, registration="", url="ws://x", last_error="unreachable", outbox=3),
            "3 messages waiting",
        ),
        (BackendSnapshot(connected=True, registration="pending", url="ws://x"), "Registration: pending"),
    ],
)
def test_the_backend_connection_says_how_it_stands(browser: Client, parts: Parts, backend, said: str):
    parts.backend = backend

    assert said in page(browser)


def connection(text: str) -> str:
    return text.split('id="connection-ocpp"')[1].split('id="connection-daemon"', maxsplit=1)[0]


@pytest.mark.parametrize(
    ("link", "tone", "state", "detail"),
    [
        ("verified", "good", "Connected", "certificate and name of the server were checked"),
        ("internal", "good", "Connected", "does not leave the station&#x27;s computer"),
        ("unverified", "warning", "Connected to an unproven server", "not proven who is at the other end"),
        ("plain", "bad", "Connected without encryption", "whoever is on the way can read and change everything"),
    ],
)
def test_a_connection_is_green_only_where_nobody_is_in_between(
    browser: Client, parts: Parts, *, link: str, tone: str, state: str, detail: str
):
    parts.backend = BackendSnapshot(connected=True, registration="accepted", url="ws://x", link=link)

    shown = connection(page(browser))

    assert f'data-tone="{tone}"' in shown
    assert f'data-role="state">{state}<' in shown
    assert detail in shown


def test_an_unencrypted_connection_is_red_before_the_registration_too(browser: Client, parts: Parts):
    parts.backend = BackendSnapshot(connected=True, registration="pending", url="ws://x", link="plain")

    assert 'data-tone="bad"' in connection(page(browser, language="de"))


def test_an_address_on_trial_and_one_taken_back_are_told(browser: Client, parts: Parts):
    parts.backend = BackendSnapshot(
        connected=False,
        registration="due",
        url="wss://new.example",
        trial_back_to="wss://old.example",
        trial_minutes=4,
        taken_back_url="wss://wrong.example",
    )

    shown = connection(page(browser))

    assert "it goes back to wss://old.example in 4 min at the latest" in shown
    assert "wss://wrong.example was set, but no server accepted the station there" in shown


def test_who_trusts_an_unproven_link_is_warned_on_the_page(browser: Client, parts: Parts):
    assert "/ocpp/trustPlainLink" not in page(browser)
    configuration.change({"/ocpp/trustPlainLink": "true"}, origin=Origin.LOCAL, actor="test", at=AT)

    assert "/ocpp/trustPlainLink" in connection(page(browser))


def test_the_page_shows_the_mains_limit_and_what_the_installer_allows(browser: Client, parts: Parts):
    mains = "/power/station/mainsMaxCurrent"
    configuration.change({mains: "32000"}, origin=Origin.LOCAL, actor="test", at=AT)
    configuration.change({mains: "20000"}, origin=Origin.BACKEND, actor="test", at=AT)

    text = page(browser)

    assert re.search(r"Mains limit now.*?20 A.*?Mains limit of the installer.*?32 A", text, re.DOTALL)


def test_every_text_from_outside_is_shown_as_text(browser: Client, parts: Parts):
    evil = "<script>alert(1)</script>"
    session = SessionSnapshot(
        id=1, id_tag="<b>", origin=evil, started_at=AT, meter_start_wh=0, energy_wh=0, transaction_id=1
    )
    parts.show(charging(1, status=evil, session=session, limit_source=evil, limits={evil: 1}), point(2))
    parts.backend = BackendSnapshot(connected=False, registration=evil, url=f"ws://x/{evil}", last_error=evil)

    text = page(browser)

    assert evil not in text
    assert "<b>" not in text
    assert "&lt;script&gt;" in text


def test_the_buttons_fit_the_state(browser: Client, parts: Parts):
    parts.show(point(1), charging(2))

    text = page(browser)
    first, second = text.split('id="connector-2"')

    assert re.findall(r'data-action="(\w+)"', first) == ["start"]
    assert re.findall(r'data-action="(\w+)"', second) == ["stop", "unlock"]


@pytest.mark.parametrize("action", ["stop", "unlock"])
def test_without_scripts_a_session_of_somebody_else_ends_after_a_question(
    browser: Client, parts: Parts, door: Door, action: str
):
    parts.show(point(1), charging(2))

    asked = browser.post(f"/connectors/2/{action}").content.decode()
    assert "was not started here. End it?" in asked
    assert door.commands == []

    browser.post(f"/connectors/2/{action}", {"confirmed": "true"})
    assert len(door.commands) == 1


@pytest.mark.parametrize(("origin", "asks"), [("reader", True), ("backend", True), ("web", False)])
def test_the_stop_button_asks_where_the_session_was_not_started_here(
    browser: Client, parts: Parts, *, origin: str, asks: bool
):
    other = charging(2)
    assert other.session is not None
    parts.show(point(1), replace(other, session=replace(other.session, origin=origin)))

    stop = re.search(r'<form[^>]*action="/connectors/2/stop"[^>]*>', page(browser))

    assert stop is not None
    assert ("hx-confirm" in stop[0]) is asks


@pytest.mark.parametrize(
    ("address", "form", "command"),
    [
        (
            "/connectors/1/start",
            {"id_tag": "04A2B3C4"},
            StartSession(id_tag="04A2B3C4", connector_id=1, authorize=True),
        ),
        ("/connectors/2/stop", {}, StopSession(connector_id=2, reason="Local")),
        ("/connectors/1/unlock", {}, UnlockConnector(connector_id=1)),
    ],
)
def test_a_button_goes_through_the_one_door_in_the_users_name(
    browser: Client, parts: Parts, door: Door, *, address: str, form: dict, command
):
    answer = browser.post(address, form)

    assert answer.headers["Location"] == "/"
    assert door.commands == [command]
    assert door.origins == [(Origin.WEB, "admin")]


@pytest.mark.parametrize("reason", list(Refusal))
def test_a_refusal_names_its_reason_beside_the_button(browser: Client, parts: Parts, door: Door, reason: Refusal):
    door.outcome = Outcome(status=Status.REJECTED, reason=reason)

    answer = browser.post("/connectors/1/stop", HTTP_HX_REQUEST="true").content.decode()

    assert 'id="connector-1-answer"' in answer
    assert 'data-tone="error"' in answer
    assert reason.value not in answer


def test_without_scripts_a_refusal_stands_on_the_page(browser: Client, parts: Parts, door: Door):
    door.outcome = Outcome(status=Status.NO_ANSWER, reason=Refusal.HARDWARE_ABSENT)

    answer = browser.post("/connectors/1/stop", follow=True).content.decode()

    assert "The control of the charging points does not answer." in answer


@pytest.mark.parametrize("id_tag", ["", "x" * 21, "ü", "a\tb"])
def test_what_cannot_be_a_card_is_refused_without_a_command(browser: Client, parts: Parts, door: Door, id_tag: str):
    answer = browser.post("/connectors/1/start", {"id_tag": id_tag}, HTTP_HX_REQUEST="true").content.decode()

    assert "This is not a usable card number" in answer
    assert door.commands == []


@pytest.mark.parametrize("number", [0, 3, 99999])
def test_a_charging_point_that_does_not_exist_gets_no_command(browser: Client, parts: Parts, door: Door, number: int):
    assert browser.post(f"/connectors/{number}/stop").status_code == 404
    assert door.commands == []


def test_no_command_is_given_by_looking(browser: Client, parts: Parts, door: Door):
    for action in ("start", "stop", "unlock"):
        assert browser.get(f"/connectors/1/{action}").status_code == 405
    assert door.commands == []


def test_the_connectors_page_has_its_four_tables(browser: Client, parts: Parts):
    parts.show(charging(1), point(2, faults=("GroundFailure",)))

    text = page(browser, "/station/connectors")

    assert re.findall(r'id="table-(\w+)"', text) == ["generic", "status", "meter", "power"]
    for value in ("X4/0/0", "C2 – vehicle charging", "48.213 kWh", "15.80 A", "230.4 V", "residual-current"):
        assert value in text


def test_the_power_table_groups_by_point_and_aligns_its_numbers(browser: Client, parts: Parts):
    parts.show(charging(1), point(2))

    power = page(browser, "/station/connectors").partition('id="table-power"')[2]

    assert re.findall(r'scope="rowgroup"[^>]*>([^<]+?) *<', power) == ["Charging point 1", "Charging point 2"]
    assert power.count('data-label="Phase"') == 6
    # Every current and limit has as many decimals as the one above it.
    currents = re.findall(r'data-label="(?:Current|Limit)" class="number">([^<]+)<', power)
    assert len(currents) == 12, currents
    assert all(value == "–" or re.fullmatch(r"\d+\.\d\d A", value) for value in currents)


def test_a_reboot_names_the_sessions_it_will_end_and_asks_first(browser: Client, parts: Parts, door: Door):
    now = clock.now()
    ChargingSession.objects.create(
        connector_id=2, id_tag="DEADBEEF", started_at=now, meter_start_wh=0, meter_last_wh=1500, meter_last_at=now
    )

    asked = page(browser, "/system/reboot")

    assert "Charging point 2: card DEAD…" in asked
    assert "1.50 kWh" in asked
    assert door.commands == []


def test_restart_keeps_sessions_and_reboot_ends_them(browser: Client, parts: Parts, door: Door):
    browser.post("/system/restart")
    browser.post("/system/reboot")

    restart, reboot = door.commands
    assert isinstance(restart, Reset)
    assert isinstance(reboot, Reset)
    assert (restart.hard, restart.stop_sessions) == (False, False)
    assert (reboot.hard, reboot.stop_sessions, reboot.reason) == (True, True, "Reboot")


def test_a_refused_restart_says_why(browser: Client, parts: Parts, door: Door):
    door.outcome = Outcome(status=Status.REJECTED, reason=Refusal.SESSIONS_RUNNING)

    assert "End the running charging sessions first." in browser.post("/system/restart", follow=True).content.decode()


def test_the_language_is_the_browsers_until_one_is_chosen(browser: Client, parts: Parts):
    german = browser.get("/", HTTP_ACCEPT_LANGUAGE="de-AT,de;q=0.9,en;q=0.5").content.decode()
    browser.post("/language", {"language": "en", "next": "/profile"}, HTTP_ACCEPT_LANGUAGE="de")
    chosen = browser.get("/", HTTP_ACCEPT_LANGUAGE="de").content.decode()

    assert '<html lang="de">' in german
    assert '<html lang="en">' in chosen


def test_the_language_switch_leads_nowhere_else(browser: Client):
    assert browser.post("/language", {"language": "de", "next": "//evil.example"}).headers["Location"] == "/"
    assert "django_language" not in browser.post("/language", {"language": "xx"}).cookies


def test_expert_settings_are_remembered_per_user(browser: Client, admin):
    browser.post("/profile/advanced", {"advanced": "expert"})

    admin.refresh_from_db()
    assert admin.profile.expert


@pytest.mark.django_db
def test_health_is_the_control_loops_alone(stranger: Client, parts: Parts):
    parts.backend = None

    assert stranger.get("/healthz").json() == {"ready": True, "run": health.run()}


@pytest.mark.django_db
@pytest.mark.parametrize(("language", "way_out"), [("en", "Restart daemon"), ("de", "Daemon neustarten")])
def test_safe_mode_says_what_it_is_and_how_to_leave_it(browser: Client, parts: Parts, language: str, way_out: str):
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, not_ready=("safe_mode", "control_killed"))

    shown = page(browser, language=language)
    answer = browser.get("/healthz", headers={"accept-language": language})

    for text in (shown, answer.json()["reasons"][0]["text"]):
        assert way_out in text
    assert answer.status_code == 503


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("language", "mistake"),
    [("en", "io.port: is missing"), ("de", "io.port: fehlt")],
)
def test_mistakes_of_the_hardwares_description_are_told_in_the_readers_language(
    browser: Client, parts: Parts, language: str, mistake: str
):
    assert parts.hardware is not None
    wrong = DescriptionMistake(where="io.port", template="is missing", data={})
    parts.hardware = replace(parts.hardware, not_ready=("hardware_wrong",), mistakes=(wrong,))

    assert mistake in page(browser, language=language)
    # Programs read this one.
    (reason,) = browser.get("/healthz", headers={"accept-language": language}).json()["reasons"]
    assert reason["text"].endswith("io.port: is missing")


@pytest.mark.django_db
def test_a_station_that_cannot_charge_says_why(stranger: Client, parts: Parts):
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, not_ready=("controllers_silent",))

    answer = stranger.get("/healthz")

    assert answer.status_code == 503
    assert answer.json()["reasons"] == [{"code": "controllers_silent", "text": "No EVSE controller answers."}]


def test_without_redis_nobody_is_blamed_for_being_silent(browser, parts):
    parts.hardware = parts.backend = None
    parts.redis_answers = False

    answer = browser.get("/healthz")
    assert answer.status_code == 503
    assert [reason["code"] for reason in answer.json()["reasons"]] == ["redis_absent"]
    page = browser.get("/").content.decode()
    assert "Redis" in page
    assert "does not answer. The last recorded" not in page
