"""The page Network – Interfaces on a simulated station, and the trial every change is on."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from station import clock, host
from station.domain.network import TRIAL_S, FamilySettings, Method
from station.host.ports import NetworkUnavailable
from station.models import AuditEntry, LogEntry
from station.paths import DataDirectory
from station.services import network
from station.tasks import watch_network
from station.web.pages import network as page
from tests.system_bus import SystemBus

FIXED = {
    "ipv4-method": "manual",
    "ipv4-address": "192.168.30.50",
    "ipv4-netmask": "255.255.255.0",
    "ipv4-gateway": "192.168.30.1",
    "ipv4-dns": "",
    "ipv6-method": "auto",
}
OLD_PLACE: dict[str, Any] = {"SERVER_NAME": "192.168.178.41"}
NEW_PLACE: dict[str, Any] = {"SERVER_NAME": "192.168.30.50"}


@pytest.fixture(autouse=True)
def computer(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The simulated computer of this test's directory; what is prepared is put in force when the test says so."""
    host.for_settings.cache_clear()
    monkeypatch.setattr(page, "_activate_soon", lambda _ticket: None)
    yield
    host.for_settings.cache_clear()


def content(answer) -> str:
    return " ".join(answer.content.decode().split())


def begin(browser: Client, **place: Any) -> str:
    """Save the fixed address, let it come into force, and return the ticket."""
    answer = browser.post("/network/interfaces", FIXED, **place)
    assert answer.status_code == 200
    ticket = re.search(r'name="ticket" value="([^"]+)"', answer.content.decode()).group(1)
    network.activate(ticket, at=clock.now())
    return ticket


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now_s = clock.monotonic_s() + seconds
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)


def events() -> list[str]:
    return list(LogEntry.objects.order_by("id").values_list("code", flat=True))


def in_force() -> Method:
    return host.for_settings().network.external().settings.ipv4.method


def test_the_page_shows_what_is_set_and_what_is_in_force(browser: Client, parts) -> None:
    shown = content(browser.get("/network/interfaces"))

    assert 'name="ipv4-method" value="auto" checked' in shown
    assert '<dd data-fact="address">192.168.178.41/24</dd>' in shown
    assert '<dd data-fact="gateway">192.168.178.1</dd>' in shown
    assert "02:00:5e:10:00:01" in shown


def test_a_change_that_is_confirmed_stays(browser: Client, parts) -> None:
    ticket = begin(browser, **OLD_PLACE)

    answer = browser.post("/network/interfaces/keep", {"ticket": ticket}, follow=True, **NEW_PLACE)

    assert "The new network settings stay." in content(answer)
    assert 'value="192.168.30.50"' in content(answer)
    assert in_force() is Method.MANUAL
    assert events() == ["network.kept"]
    assert list(AuditEntry.objects.order_by("id").values_list("command", "actor")) == [
        ("ChangeNetwork", "admin"),
        ("KeepNetwork", "admin"),
    ]


def test_nobody_has_to_be_logged_in_at_the_new_address(browser: Client, stranger: Client, parts) -> None:
    ticket = begin(browser, **OLD_PLACE)
    newcomer = Client(HTTP_HOST="localhost", enforce_csrf_checks=True, **NEW_PLACE)

    asked = newcomer.get(f"/network/here/{ticket}")
    token = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', asked.content.decode()).group(1)
    assert in_force() is Method.MANUAL
    assert events() == []
    answer = newcomer.post(f"/network/here/{ticket}", {"csrfmiddlewaretoken": token})

    assert answer.status_code == 302
    assert events() == ["network.kept"]


def test_the_old_address_proves_nothing(browser: Client, parts) -> None:
    ticket = begin(browser, **OLD_PLACE)

    answer = browser.post("/network/interfaces/keep", {"ticket": ticket}, follow=True, **OLD_PLACE)

    assert "still comes from the old address" in content(answer)
    assert events() == []


def test_what_is_not_in_force_cannot_be_confirmed(browser: Client, parts) -> None:
    answer = browser.post("/network/interfaces", FIXED, **OLD_PLACE)
    ticket = re.search(r'name="ticket" value="([^"]+)"', answer.content.decode()).group(1)

    answer = browser.post(f"/network/here/{ticket}", **NEW_PLACE)

    assert answer.status_code == 409
    assert "not in force yet" in content(answer)
    assert in_force() is Method.AUTO


def test_without_confirmation_the_old_settings_come_back_and_it_is_said(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = begin(browser, **OLD_PLACE)
    assert in_force() is Method.MANUAL
    watch_network()
    assert events() == []

    pass_time(monkeypatch, TRIAL_S + network.DELAY_S + 1)
    watch_network()
    watch_network()

    assert in_force() is Method.AUTO
    assert events() == ["network.taken_back"]
    assert "Nobody confirmed the change" in content(browser.get("/network/interfaces"))
    assert "Nobody confirmed the change" in content(browser.get("/network/interfaces/trial"))
    assert browser.get(f"/network/here/{ticket}", **NEW_PLACE).status_code == 404
    assert browser.post(f"/network/here/{ticket}", **NEW_PLACE).status_code == 409


def test_a_restart_of_the_processes_changes_nothing_in_that(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(browser, **OLD_PLACE)
    host.for_settings.cache_clear()
    assert in_force() is Method.MANUAL

    pass_time(monkeypatch, TRIAL_S + network.DELAY_S + 1)
    host.for_settings.cache_clear()

    assert in_force() is Method.AUTO


def test_a_restart_of_the_computer_brings_the_old_settings_back(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(browser, **OLD_PLACE)

    monkeypatch.setattr(clock, "boot_id", lambda: "another start")

    assert in_force() is Method.AUTO
    watch_network()
    assert events() == ["network.taken_back"]


def test_the_old_settings_can_be_put_back_at_once(browser: Client, parts) -> None:
    ticket = begin(browser, **OLD_PLACE)

    browser.post("/network/interfaces/withdraw", {"ticket": ticket})

    assert in_force() is Method.AUTO
    assert events() == ["network.withdrawn"]


def test_one_change_at_a_time(browser: Client, parts) -> None:
    begin(browser, **OLD_PLACE)

    answer = browser.post("/network/interfaces", FIXED | {"ipv4-address": "192.168.30.51"}, **OLD_PLACE)

    assert "on trial" in content(answer)
    assert "192.168.30.51" not in content(answer)
    assert "Your change was not saved" in content(answer)


def test_save_pressed_twice_is_no_second_change(browser: Client, parts) -> None:
    begin(browser, **OLD_PLACE)

    answer = browser.post("/network/interfaces", FIXED, **OLD_PLACE)

    assert "on trial" in content(answer)
    assert "was not saved" not in content(answer)


def test_a_link_that_somebody_made_up_confirms_nothing(browser: Client, stranger: Client, parts) -> None:
    begin(browser, **OLD_PLACE)

    for guess in ("x", "ä", "0" * 22):
        assert stranger.get(f"/network/here/{guess}", **NEW_PLACE).status_code == 404
        assert stranger.post(f"/network/here/{guess}", **NEW_PLACE).status_code == 409
    assert events() == []


def test_the_page_on_trial_links_to_the_new_place_and_may_ask_only_there(browser: Client, parts) -> None:
    answer = browser.post("/network/interfaces", FIXED, **OLD_PLACE)

    ticket = re.search(r'name="ticket" value="([^"]+)"', answer.content.decode()).group(1)
    assert f'href="http://192.168.30.50/network/here/{ticket}"' in content(answer)
    assert answer["Content-Security-Policy"].endswith("; connect-src 'self' http://192.168.30.50")


def test_somebody_at_the_service_port_confirms_where_he_is(browser: Client, parts) -> None:
    answer = browser.post("/network/interfaces", FIXED, SERVER_NAME="192.168.32.1")

    assert "This page keeps its address" in content(answer)
    assert "connect-src" not in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Choose another network. Example: 192.168.30.50"), ("de", "Wählen Sie ein anderes Netzwerk. Beispiel:")],
)
def test_a_refusal_stands_beside_its_field_and_nothing_typed_is_lost(
    browser: Client, parts, language: str, said: str
) -> None:
    answer = browser.post(
        "/network/interfaces",
        FIXED | {"ipv4-address": "192.168.32.9", "ipv4-dns": "9.9.9.9"},
        HTTP_ACCEPT_LANGUAGE=language,
    )

    assert answer.status_code == 422
    assert said in content(answer)
    assert 'value="192.168.32.9"' in content(answer)
    assert 'value="9.9.9.9"' in content(answer)
    assert in_force() is Method.AUTO


def test_what_was_corrected_is_said(browser: Client, parts) -> None:
    answer = browser.post("/network/interfaces", FIXED | {"ipv4-address": " 192,168,30,50"}, **OLD_PLACE)

    assert "were corrected" in content(answer)


def test_saving_what_is_set_changes_nothing(browser: Client, parts) -> None:
    same = {"ipv4-method": "auto", "ipv6-method": "auto"}

    answer = browser.post("/network/interfaces", same, follow=True)

    assert "Nothing was different." in content(answer)
    assert not AuditEntry.objects.filter(command="ChangeNetwork").exists()


def test_shared_mode_is_told_to_the_firewall_and_taken_back_with_the_rest(
    browser: Client, parts, data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from station.host.firewall import Openings

    answer = browser.post("/network/interfaces", {"ipv4-method": "shared", "ipv6-method": "auto"}, **OLD_PLACE)
    network.activate(network.latest(at=clock.now()).ticket, at=clock.now())
    assert "192.168.30.50" in content(answer)
    assert Openings.read(data.firewall).shared_interface == "eth0"

    pass_time(monkeypatch, TRIAL_S + network.DELAY_S + 1)
    watch_network()

    assert Openings.read(data.firewall).shared_interface == ""


@pytest.mark.parametrize("reason", ["service_absent", "access_denied", "no_answer", "interface_absent", "unmanaged"])
def test_a_computer_that_cannot_be_set_says_why_instead_of_a_form(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    def refuse(*_: object) -> None:
        raise NetworkUnavailable(reason, "eth7")

    monkeypatch.setattr(network, "external", refuse)

    answer = browser.get("/network/interfaces")

    assert answer.status_code == 200
    assert "Not available." in content(answer)
    assert '<form method="post" class="settings"' not in content(answer)


def test_a_change_that_the_computer_refuses_loses_nothing(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NetworkUnavailable("invalid_value", "ipv4.addresses: nonsense")

    monkeypatch.setattr(type(host.for_settings().network), "prepare", refuse)

    answer = browser.post("/network/interfaces", FIXED)

    assert answer.status_code == 422
    assert "ipv4.addresses: nonsense" in content(answer)
    assert 'value="192.168.30.50"' in content(answer)


def test_a_change_that_cannot_be_put_in_force_is_taken_back_at_once(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise NetworkUnavailable("refused", "no carrier")

    monkeypatch.setattr(type(host.for_settings().network), "activate", refuse)

    begin(browser, **OLD_PLACE)

    assert in_force() is Method.AUTO
    assert events() == ["network.failed"]
    assert "no carrier" in content(browser.get("/network/interfaces"))


def test_a_change_that_is_over_is_noted_although_the_computer_does_not_say_what_is_shared(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = host.for_settings().network
    port.restore(replace(port.external().settings, ipv4=FamilySettings(method=Method.SHARED)))
    begin(browser, **OLD_PLACE)
    pass_time(monkeypatch, TRIAL_S + network.DELAY_S + 1)
    examine, asked = type(port).external, iter((True,))

    def silent_after_the_first(self: Any) -> Any:
        if next(asked, False):
            return examine(self)
        raise NetworkUnavailable("no_answer")

    monkeypatch.setattr(type(port), "external", silent_after_the_first)
    watch_network()

    assert events() == ["network.taken_back"]


def test_a_real_computer_without_the_service_says_what_is_missing(
    browser: Client, parts, settings, system_bus: SystemBus
) -> None:
    settings.SIMULATE = False
    host.for_settings.cache_clear()

    shown = content(browser.get("/network/interfaces", HTTP_ACCEPT_LANGUAGE="de"))

    assert "Nicht verfügbar. NetworkManager läuft auf diesem Rechner nicht" in shown
    assert browser.post("/network/interfaces", FIXED).status_code == 422


def test_an_address_of_the_service_interface_from_the_router_is_warned_of(
    browser: Client, parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replace(host.for_settings().network.external(), addresses=("192.168.32.44/24", "fe80::1/64"))
    monkeypatch.setattr(type(host.for_settings().network), "external", lambda _self: found)

    assert "The router has given the station 192.168.32.44/24" in content(browser.get("/network/interfaces"))


def test_the_waiting_page_is_left_alone_while_nothing_has_changed(browser: Client, parts) -> None:
    begin(browser, **OLD_PLACE)

    assert browser.get("/network/interfaces/trial?state=prepared").status_code == 200
    assert browser.get("/network/interfaces/trial?state=on_trial").status_code == 204
