"""Who gets in where: every address as a stranger, foreign names, forged requests."""

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from station.services import accounts

OPEN = {"login", "language", "healthz", "phone", "recovery", "recovery-begin", "security-txt", "interfaces-confirm"}
ARGUMENTS = {
    "connector_id": "1",
    "session_id": "1",
    "row_id": "1",
    "account_id": "1",
    "entry_id": "1",
    "action": "plug",
    "ticket": "made-up",
    "object_id": "1",
    "app_label": "station",
    "content_type_id": "1",
    "brand": "operator",
    "key": "made-up",
    "station": "100002441",
    "message_id": "1",
    "name": "made-up",
}


def every_address(patterns=None, prefix: str = "/") -> list[tuple[str, str]]:
    found = []
    for entry in get_resolver().url_patterns if patterns is None else patterns:
        route = str(entry.pattern)
        for name, value in ARGUMENTS.items():
            for kind in ("int:", "str:", "path:", "slug:", ""):
                route = route.replace(f"<{kind}{name}>", value)
        route = route.replace("^", "").replace("$", "").replace(r"\Z", "")
        if isinstance(entry, URLResolver):
            found += every_address(entry.url_patterns, prefix + route)
        elif isinstance(entry, URLPattern):
            found.append((entry.name or "", prefix + route))
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("address", [address for name, address in every_address() if name not in OPEN])
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_gets_no_further_than_the_login(stranger: Client, parts, address: str, method: str):
    answer = getattr(stranger, method)(address)

    assert answer.status_code in {302, 403, 404, 405}, address
    if answer.status_code == 302:
        assert answer["Location"].startswith("/login")


@pytest.mark.django_db
def test_the_list_of_addresses_is_not_empty_and_every_argument_has_a_value():
    names = {name for name, _ in every_address()}

    own = [address for _, address in every_address() if not address.startswith("/admin/")]
    assert [address for address in own if "<" in address] == []

    assert {"dashboard", "connector-start", "reboot", "bench", "station_chargingsession_changelist"} <= names


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "8.8.8.8", "a@localhost", "", "local/host"])
def test_a_foreign_name_is_refused(host: str):
    assert Client(HTTP_HOST=host).get("/login").status_code == 400


@pytest.mark.django_db
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8443", "192.168.32.1", "te100002440.local"])
def test_the_station_answers_to_its_own_names(host: str):
    assert Client(HTTP_HOST=host).get("/login").status_code == 200


@pytest.mark.django_db
def test_a_configured_origin_is_an_own_name(monkeypatch: pytest.MonkeyPatch):
    from station.web import origins

    origins._configured_names.cache_clear()
    monkeypatch.setenv("STATION_HTTP_ORIGINS", "charger.example:8080,charger.example:8443")
    try:
        assert Client(HTTP_HOST="charger.example").get("/login").status_code == 200
        assert origins.https_port() == 8443
    finally:
        origins._configured_names.cache_clear()


@pytest.mark.parametrize(
    "address", ["/connectors/1/start", "/connectors/1/stop", "/connectors/1/unlock", "/system/reboot", "/logout"]
)
def test_a_forged_request_without_token_does_nothing(browser: Client, door, parts, address: str):
    forger = Client(enforce_csrf_checks=True, HTTP_HOST="localhost")
    forger.cookies = browser.cookies

    assert forger.post(address, {"id_tag": "04A2B3C4"}).status_code == 403
    assert door.commands == []


@pytest.mark.django_db
def test_pages_may_load_only_own_files_and_stay_out_of_caches(stranger: Client):
    answer = stranger.get("/login")

    assert answer["Content-Security-Policy"].startswith("default-src 'self'; object-src 'none'")
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("address", ["/", "/station/connectors", "/profile", "/sim", "/system/reboot", "/login"])
def test_no_page_contains_inline_script_or_style(browser: Client, parts, address: str):
    page = browser.get(address, follow=True).content.decode()

    assert "<style" not in page
    assert " style=" not in page
    assert " onclick=" not in page
    assert page.count("<script") == page.count("<script src=") > 0


@pytest.mark.django_db
def test_plain_http_is_sent_to_https_except_the_health_check(
    stranger: Client, parts, settings, monkeypatch: pytest.MonkeyPatch
):
    settings.SERVES_HTTPS = True
    monkeypatch.setenv("STATION_HTTP_ORIGINS", "127.0.0.1:8080,127.0.0.1:8443")

    answer = stranger.get("/login?next=/sim", HTTP_HOST="127.0.0.1:8080")

    assert answer.status_code == 308
    assert answer["Location"] == "https://127.0.0.1:8443/login?next=/sim"
    assert stranger.get("/healthz").status_code == 200
    assert stranger.get("/login", secure=True).status_code == 200


def test_the_bench_exists_only_while_simulating(browser: Client, parts, settings):
    settings.SIMULATE = False

    assert browser.get("/sim").status_code == 404
    assert browser.post("/sim/connectors/1/plug").status_code == 404
    assert "/sim" not in browser.get("/").content.decode()


def test_the_backend_cannot_lose_the_admin_to_a_second_user(admin):
    again = accounts.ensure_admin(at=admin.date_joined)

    assert again.pk == admin.pk
    assert again.password == admin.password


@pytest.mark.parametrize(("language", "said"), [("en", "Page not found"), ("de", "Seite nicht gefunden")])
def test_an_address_that_does_not_exist_gets_a_page_of_the_station(browser: Client, language: str, said: str):
    answer = browser.get("/no/such/page", HTTP_ACCEPT_LANGUAGE=language)

    assert answer.status_code == 404
    assert said in answer.content.decode()


@pytest.mark.django_db
def test_a_stale_form_is_explained():
    answer = Client(enforce_csrf_checks=True, HTTP_HOST="localhost").post("/login", {"username": "admin"})

    assert answer.status_code == 403
    assert "Please try again" in answer.content.decode()


def test_an_error_in_a_page_tells_nothing_about_the_inside(browser: Client, parts, monkeypatch: pytest.MonkeyPatch):
    def broken(*_args: object) -> None:
        raise ValueError("canary")

    monkeypatch.setattr("station.web.facts.about", broken)
    browser.raise_request_exception = False

    answer = browser.get("/")

    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()
    assert "canary" not in answer.content.decode()


@pytest.mark.parametrize(
    ("language", "said"), [("en", "no charging session begins"), ("de", "beginnt kein Ladevorgang")]
)
def test_on_a_full_disk_a_failed_log_in_says_what_is_the_matter(
    stranger: Client, parts, monkeypatch: pytest.MonkeyPatch, language: str, said: str
):
    def full(*_args: object, **_kwargs: object) -> None:
        raise OperationalError("database or disk is full")

    monkeypatch.setattr("station.services.sign_in_delays.claim_attempt", full)
    monkeypatch.setattr("station.services.write_probe.is_short_of_room", lambda: True)
    stranger.raise_request_exception = False

    answer = stranger.post("/login", {"username": "admin", "password": "x"}, HTTP_ACCEPT_LANGUAGE=language)

    assert answer.status_code == 507
    assert said in answer.content.decode()


def test_an_odd_request_of_a_stranger_leaves_no_traceback(stranger: Client, caplog: pytest.LogCaptureFixture):
    answer = stranger.post("/login", "a=&" * 20_000, content_type="application/x-www-form-urlencoded")

    assert answer.status_code == 400
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.django_db
def test_a_new_address_is_the_stations_own_at_once(monkeypatch: pytest.MonkeyPatch):
    from station.host import addresses

    held = {"192.168.30.50"}
    monkeypatch.setattr(addresses, "own_addresses", lambda: frozenset(held))
    assert Client(HTTP_HOST="192.168.30.50").get("/login").status_code == 200
    assert Client(HTTP_HOST="192.168.30.51").get("/login").status_code == 400

    held.add("192.168.30.51")

    assert Client(HTTP_HOST="192.168.30.51").get("/login").status_code == 200
