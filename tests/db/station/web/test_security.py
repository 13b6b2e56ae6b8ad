"""User management – Security: opening the vendor's access takes a password, closing it never does."""

import pytest
from django.test import Client

from station.domain.roles import Role
from station.domain.vendor_access import Door
from station.services import configuration, vendor_access
from tests.db.station.web.conftest import PASSWORD, Parts
from tests.db.station.web.test_roles import browser_of

PAGE = "/users/security"
REMOTE, LOCAL = "Security-enableRemoteVendorAccess", "Security-enableLocalVendorAccess"
BANNER = 'data-action="end-vendor-access"'


def is_open(door: Door = Door.REMOTE) -> bool:
    return configuration.get_bool(vendor_access.KEYS[door])


def open_remote(browser: Client, password: str = PASSWORD):
    return browser.post(PAGE, {LOCAL: "false", REMOTE: ["false", "true"], "password": password})


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "Vendor access (maintenance)"), ("de", "Herstellerzugang (Wartung)")],
)
def test_both_accesses_are_closed_at_first_and_a_warning_stands_above_them(
    browser: Client, parts: Parts, language: str, said: str
):
    page = browser.get(PAGE, HTTP_ACCEPT_LANGUAGE=language).content.decode()

    assert said in page
    assert 'data-tone="warning"' in page
    assert " checked" not in page
    assert BANNER not in page


def test_with_the_password_it_opens_and_every_page_says_so_until_somebody_ends_it(browser: Client, parts: Parts):
    assert open_remote(browser).status_code == 302
    assert is_open()
    assert not is_open(Door.LOCAL)

    for address in ("/", "/profile", "/users", PAGE):
        page = browser.get(address, HTTP_ACCEPT_LANGUAGE="de").content.decode()
        assert BANNER in page
        assert "Der Herstellerzugang ist offen (aus der Ferne). Er endet von selbst in 23\N{NO-BREAK SPACE}h" in page

    assert browser.post(f"{PAGE}/end").status_code == 302
    assert not is_open()
    assert BANNER not in browser.get("/").content.decode()


@pytest.mark.parametrize("password", ["", "not the password"])
def test_without_the_password_nothing_opens_and_what_was_chosen_stays(browser: Client, parts: Parts, password: str):
    answer = open_remote(browser, password)

    assert answer.status_code == 422
    assert "Your password is wrong. Nothing was changed." in answer.content.decode()
    assert answer.content.decode().count(" checked") == 1
    assert not is_open()


def test_closing_needs_no_password(browser: Client, parts: Parts):
    open_remote(browser)

    assert browser.post(PAGE, {LOCAL: "false", REMOTE: "false"}).status_code == 302

    assert not is_open()


def test_an_operator_ends_it_and_cannot_open_it(browser: Client, parts: Parts):
    open_remote(browser)
    operator, viewer = browser_of(Role.OPERATOR), browser_of(Role.VIEWER)

    assert BANNER not in viewer.get("/").content.decode()
    assert "vendor's access is open" in viewer.get("/").content.decode()
    assert viewer.post(f"{PAGE}/end").status_code == 403
    assert operator.post(PAGE, {REMOTE: "true", "password": PASSWORD}).status_code == 403
    assert 'id="vendor-form"' not in operator.get(PAGE).content.decode()
    answer = operator.post(f"{PAGE}/end", HTTP_HX_REQUEST="true")

    assert 'id="vendor-access"' in answer.content.decode()
    assert not is_open()
