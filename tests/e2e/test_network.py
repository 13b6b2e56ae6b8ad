"""Network – Interfaces as an installer uses it: a fixed address, confirmed and not confirmed."""

from urllib.parse import urlsplit

import pytest

from tests.e2e.browser import Browser
from tests.e2e.conftest import Site
from tests.station import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.process]
# A trial takes 60 s; a busy machine may take its time afterwards.
TRIAL_IS_OVER_S = 180.0


def set_fixed_address(browser: Browser, address: str) -> str:
    """Set a fixed address, wait until it is in force, and return the ticket of the trial."""
    browser.open("/network/interfaces")
    browser.click("[name=ipv4-method][value=manual]")
    browser.fill("#ipv4-address", f" {address}")
    browser.fill("#ipv4-netmask", "24")
    browser.click("#interfaces-form [type=submit]")
    browser.wait(lambda: browser.all("#network-trial[data-state=on_trial]"), "the trial")
    assert address in browser.text("[data-fact=new-address]")
    field = "#network-trial [name=ticket]"
    return browser.wait(lambda: str(browser.all(field)[0].get_attribute("value")), "the ticket")


def in_force(browser: Browser) -> str:
    browser.open("/network/interfaces")
    return browser.text("[data-fact=address]")


def test_a_fixed_address_stays_when_it_is_confirmed_without_a_login_and_without_scripts(
    browser: Browser, plain_window: Browser
) -> None:
    ticket = set_fixed_address(browser, "192.168.30.50")

    # Another name of the same station: its window knows no session.
    port = urlsplit(browser.base_url).port
    plain_window.driver.get(f"http://localhost:{port}/network/here/{ticket}")
    plain_window.click(".login-card [type=submit]")
    plain_window.wait_path("/login")

    # The page that has waited sees it by itself.
    browser.wait(lambda: browser.all("#network-trial[data-state=kept]"), "the confirmation on the other page")
    assert in_force(browser) == "192.168.30.50/24"


def test_without_confirmation_the_page_says_that_the_old_settings_are_back(site: Site, browser: Browser) -> None:
    before = in_force(browser)
    set_fixed_address(browser, "192.168.30.77")
    seconds_left = int(browser.read("#network-trial [data-countdown]"))
    assert 0 < seconds_left <= 60
    browser.wait(lambda: int(browser.text("#network-trial [data-countdown]")) < seconds_left, "the countdown")

    wait_until(
        lambda: browser.all("#network-trial[data-state=taken_back]"),
        timeout_s=TRIAL_IS_OVER_S,
        what="the end of the trial on the page",
    )

    assert in_force(browser) == before
    browser.open("/events")
    browser.wait_text(".content", "Nobody confirmed the change of the network settings")
