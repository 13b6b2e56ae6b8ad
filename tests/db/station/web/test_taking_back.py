"""The audit trail: old and new values in the words of their page, and the way back with one click."""

import pytest
from django.test import Client

from station.domain.commands import Origin
from station.domain.roles import Role
from station.models import AuditEntry
from station.services import configuration
from tests.db.station.web.conftest import AT, Parts
from tests.db.station.web.test_roles import browser_of

MAINS = "/power/station/mainsMaxCurrent"
BUTTON = 'data-action="take-back"'


def change_all(items: dict[str, str], origin: Origin = Origin.WEB, actor: str = "admin") -> AuditEntry:
    configuration.change(items, origin=origin, actor=actor, at=AT)
    return AuditEntry.objects.order_by("-id")[0]


def take_back(browser: Client, entry: AuditEntry, language: str = "en") -> str:
    browser.post(f"/events/{entry.pk}/take-back", HTTP_ACCEPT_LANGUAGE=language)
    return browser.get("/events", HTTP_ACCEPT_LANGUAGE=language).content.decode()


def test_a_change_is_told_with_the_label_of_its_page_and_both_values(browser: Client, parts: Parts):
    change_all({MAINS: "32000", "/hw/auth/device/Dummy/enabled": "true"})

    page = browser.get("/events", HTTP_ACCEPT_LANGUAGE="de").content.decode()

    assert "Leistung – Max. Netzstrom (mA)" in page
    assert page.count('<span class="before">63000 mA</span> → <strong>32000 mA</strong>') == 1
    assert MAINS not in page
    assert '<span class="before">aus</span> → <strong>ein</strong>' in page


def test_one_click_brings_the_earlier_values_back_and_is_recorded_itself(browser: Client, parts: Parts):
    entry = change_all({MAINS: "32000", "/ocpp/url": "wss://new.example.net"})

    page = take_back(browser, entry)

    assert "Taken back: the earlier values are in force again." in page
    assert configuration.get(MAINS) == "63000"
    assert configuration.get("/ocpp/url") == ""
    undone = AuditEntry.objects.order_by("-id")[0]
    assert (undone.takes_back, undone.actor, undone.origin) == (entry, "admin", "web")
    assert "Taken back:" in page
    assert page.count(BUTTON) == 1


def test_taking_back_what_was_taken_back_brings_the_change_in_force_again(browser: Client, parts: Parts):
    entry = change_all({MAINS: "32000"})
    take_back(browser, entry)

    take_back(browser, AuditEntry.objects.order_by("-id")[0])

    assert configuration.get(MAINS) == "32000"


def test_a_mode_that_stands_for_several_keys_goes_back_as_a_whole(browser: Client, parts: Parts):
    change_all({"/auth/identification": "any"})
    entry = change_all({"/auth/identification": "none"})

    take_back(browser, entry)

    assert configuration.get("/auth/identification") == "any"


def test_what_was_changed_again_stays_and_says_why(browser: Client, parts: Parts):
    entry = change_all({MAINS: "32000"})
    change_all({MAINS: "20000"})

    page = take_back(browser, entry, "de")

    assert "Die Änderung bleibt. Seither wieder geändert oder schon zurückgenommen." in page
    assert configuration.get(MAINS) == "20000"


def test_what_is_no_longer_valid_stays_and_says_why(browser: Client, parts: Parts):
    change_all({MAINS: "50000"})
    entry = change_all({MAINS: "20000"})
    change_all({"/identity/connectors": "1"}, Origin.LOCAL)

    page = take_back(browser, entry)

    assert "The change stays. Power – Max. mains current (mA):" in page
    assert configuration.get(MAINS) == "20000"


def test_a_secret_is_shown_to_nobody_and_does_not_come_back(browser: Client, parts: Parts):
    key = "0123456789abcdef0123"
    change_all({"AuthorizationKey": key})
    entry = change_all({"AuthorizationKey": "another-key-for-the-backend"})

    page = take_back(browser, entry)

    assert "Secrets are not kept" in page
    assert BUTTON not in page
    assert key not in page
    assert not any(key in str(vars(row)) for row in AuditEntry.objects.all())
    assert configuration.snapshot()["AuthorizationKey"] == "another-key-for-the-backend"


def test_beside_a_secret_the_rest_goes_back(browser: Client, parts: Parts):
    entry = change_all({"AuthorizationKey": "another-key-for-the-backend", MAINS: "32000"})

    take_back(browser, entry)

    assert configuration.get(MAINS) == "63000"
    assert configuration.snapshot()["AuthorizationKey"] == "another-key-for-the-backend"


def test_a_password_in_an_address_is_in_no_entry(browser: Client, parts: Parts):
    change_all({"/ocpp/url": "wss://csms.example.net/${chargeBoxIdentity}?token=hunter2hunter2"})
    change_all({"/ocpp/url": "wss://csms.example.net"})

    assert not any("hunter2" in str(vars(row)) for row in AuditEntry.objects.all())


def test_the_vendors_access_is_not_opened_by_a_way_back(browser: Client, parts: Parts):
    key = "/Security/enableRemoteVendorAccess"
    change_all({key: "true"})
    entry = change_all({key: "false"})

    assert "opened on the page Security only" in take_back(browser, entry)
    assert not configuration.get_bool(key)


def test_an_operator_reads_and_cannot_take_back(browser: Client, parts: Parts):
    entry = change_all({MAINS: "32000"})
    operator = browser_of(Role.OPERATOR)

    assert "32000 mA" in operator.get("/events").content.decode()
    assert BUTTON not in operator.get("/events").content.decode()
    assert operator.post(f"/events/{entry.pk}/take-back").status_code == 403
    assert configuration.get(MAINS) == "32000"


def test_entries_of_an_earlier_version_are_read_as_before(browser: Client, parts: Parts):
    entry = AuditEntry.objects.create(
        at=AT, origin="web", actor="admin", command="ChangeConfiguration", data={MAINS: "32000"}, outcome="accepted"
    )

    page = take_back(browser, entry)

    assert f"Change settings: {MAINS} = 32000" in page
    assert "There is nothing to take back." in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("person=admin", {"32000 mA", "Add the account anna"}),
        ("person=manage.py+config", {"wss://csms.example.net"}),
        ("page_of=power", {"32000 mA"}),
        ("page_of=ocpp", {"wss://csms.example.net"}),
        ("page_of=accounts", {"Add the account anna"}),
        ("page_of=power&person=manage.py+config", set()),
    ],
)
def test_changes_are_found_by_person_and_page(browser: Client, parts: Parts, asked: str, found: set[str]):
    change_all({MAINS: "32000"})
    change_all({"/ocpp/url": "wss://csms.example.net"}, Origin.LOCAL, "manage.py config")
    browser.post("/users/accounts", {"name": "anna", "role": "viewer", "password": "violet harbour spoon thirteen"})

    page = browser.get(f"/events?{asked}").content.decode().partition('id="events"')[2]

    marks = {"32000 mA", "wss://csms.example.net", "Add the account anna"}
    assert {mark for mark in marks if mark in page} == found
