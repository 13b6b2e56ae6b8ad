"""The light in the header of every page, and the list behind it."""

from dataclasses import replace

import pytest
from django.test import Client

from station import clock
from station.domain.file_jobs import Kind, Step
from station.domain.roles import Role
from station.models import FileJob
from station.services import event_log
from station.web import access, menu, overall, present
from tests.db.station.web.conftest import AT, Parts, point
from tests.db.station.web.test_roles import browser_of


@pytest.fixture(autouse=True)
def room_on_the_disk(monkeypatch: pytest.MonkeyPatch):
    class Disk:
        f_bavail, f_frsize = 10**7, 4096

    monkeypatch.setattr("os.statvfs", lambda _path: Disk)


def light(browser: Client, address: str = "/profile", language: str = "en") -> str:
    page = browser.get(address, HTTP_ACCEPT_LANGUAGE=language).content.decode()
    return page.partition('id="overall"')[2].partition("</a>")[0]


@pytest.mark.parametrize("address", ["/", "/profile", "/users", "/communication/ocpp", "/events", "/sim", "/status"])
def test_every_page_wears_the_light_and_is_live(browser: Client, parts: Parts, address: str):
    page = browser.get(address).content.decode()

    assert 'data-tone="good"' in light(browser, address)
    assert page.count("ws-connect=") == 1


def test_a_fault_turns_the_light_red_and_says_since_when_and_what_to_do(browser: Client, parts: Parts):
    event_log.begin("fault.GroundFailure", at=AT, connector_id=2)
    parts.show(point(1), point(2, faults=("GroundFailure",)))

    assert 'data-tone="bad"' in light(browser)
    assert "1 Störung" in light(browser, language="de")
    page = browser.get("/status").content.decode()
    assert "Charging point 2: The residual-current device has tripped" in page
    assert "Unplug the vehicle, then switch the residual-current device on again." in page
    assert "since 20 Nov 2026, 13:00" in page
    assert 'href="/station/connectors"' in page


def test_a_link_leads_only_where_the_reader_may_go(db, parts: Parts):
    parts.backend = replace(parts.backend, connected=False)

    listed = {role: browser_of(role).get("/status").content.decode() for role in (Role.VIEWER, Role.INSTALLER)}

    assert all("No connection to the OCPP server." in page for page in listed.values())
    shown = {role: page.partition('id="overall-list"')[2] for role, page in listed.items()}
    assert 'href="/communication/ocpp"' not in shown[Role.VIEWER]
    assert 'href="/communication/ocpp"' in shown[Role.INSTALLER]


def test_an_update_that_failed_is_named_until_another_one_has_run(browser: Client, parts: Parts):
    def ended(kind: Kind, step: Step, **data: str) -> None:
        FileJob.objects.create(kind=kind, step=step, created_at=AT, due_at=AT, finished_at=AT, data=data)

    def is_named() -> bool:
        return "The last update of the software failed" in browser.get("/status").content.decode()

    ended(Kind.LOCAL_UPDATE, Step.FAILED)
    assert not is_named()
    ended(Kind.LOCAL_UPDATE, Step.FAILED, ordered_by="admin")
    assert is_named()
    ended(Kind.LOCAL_UPDATE, Step.DONE, ordered_by="admin")
    assert not is_named()


def test_every_page_that_is_named_has_a_label(db, parts: Parts):
    for name in overall._PAGES.values():
        assert access.row_of(name) is not None, name
        assert menu.label_of(name), name


def test_who_is_signed_in_without_a_role_sees_no_state(db, parts: Parts):
    assert 'id="overall"' not in browser_of(Role.SIGNED_IN).get("/profile").content.decode()


def test_looking_costs_few_questions_to_the_database(browser: Client, parts: Parts, django_assert_max_num_queries):
    now = present.look(clock.now())

    with django_assert_max_num_queries(8):
        overall.look(now, Role.INSTALLER)
