"""The frame of every page: the menu of a phone, the light in the header, and a connection that is lost."""

import pytest
from selenium.webdriver.common.keys import Keys

from tests.e2e.browser import DESKTOP, PHONE, Browser
from tests.e2e.conftest import Site

pytestmark = [pytest.mark.e2e, pytest.mark.process]

OPEN_MENU = "#menu:popover-open"
LINK_STATE = "#link-state"


def focused(browser: Browser) -> str:
    script = "return document.activeElement.closest('#menu') ? 'menu' : document.activeElement.id"
    return str(browser.driver.execute_script(script))


def test_on_a_phone_the_menu_opens_keeps_the_keyboard_and_closes_with_escape(browser: Browser) -> None:
    browser.resize(PHONE)
    try:
        browser.open("/events")
        assert not browser.all(OPEN_MENU)

        browser.click("#menu-button")
        browser.wait(lambda: browser.all(OPEN_MENU), "the open menu")
        browser.wait(lambda: focused(browser) == "menu", "the keyboard in the menu")
        for _ in range(len(browser.all("#menu a")) + 2):
            browser.driver.switch_to.active_element.send_keys(Keys.TAB)
            assert focused(browser) in {"menu", "menu-button"}

        browser.driver.switch_to.active_element.send_keys(Keys.ESCAPE)
        browser.wait(lambda: not browser.all(OPEN_MENU) and focused(browser) == "menu-button", "the closed menu")

        browser.click("#menu-button")
        browser.click("#menu .menu-link[href='/sessions']")
        browser.wait_path("/sessions")
    finally:
        browser.resize(DESKTOP)


def test_the_menu_of_a_phone_opens_without_javascript(site: Site, plain_window: Browser) -> None:
    plain_window.resize(PHONE)
    plain_window.open("/login")
    plain_window.log_in(site.password)
    plain_window.wait_text("h1", "Dashboard")
    plain_window.wait_text(".topbar", "Without JavaScript nothing here is live.")

    plain_window.click("#menu-button")
    plain_window.click("#menu .menu-link[href='/sessions']")

    plain_window.wait_text("h1", "Sessions")


def test_a_fault_turns_the_light_of_any_page_red_while_it_is_open(site: Site, browser: Browser) -> None:
    browser.open("/profile")
    browser.driver.execute_script("window.sameDocument = true")

    site.station.sim("/connectors/2/fault", {"code": "GroundFailure", "active": True})

    browser.wait(lambda: browser.all("#overall[data-tone=bad]"), "the red light")
    assert browser.driver.execute_script("return window.sameDocument") is True
    browser.click("#overall")
    browser.wait_text("#overall-list", "Charging point 2: The residual-current device has tripped")


def test_every_page_says_when_the_station_is_gone_and_when_it_is_back(site: Site, browser: Browser) -> None:
    browser.open("/profile")
    browser.wait(lambda: browser.driver.execute_script("return document.getElementById('data-at').textContent"), "data")

    site.station.kill("web")

    browser.wait_text(LINK_STATE, "Last data:")
    browser.wait(lambda: browser.text(LINK_STATE) == "", "the station again")
    # The browser itself tells of the connection that broke.
    browser.complaints()
