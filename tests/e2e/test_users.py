"""The list of cards, as an installer edits it: nothing counts before it is saved, and nothing gets lost on the way."""

import pytest

from tests.e2e.browser import Browser

pytestmark = [pytest.mark.e2e, pytest.mark.process]


def add(browser: Browser, uid: str, count: int) -> None:
    """Type a card into the first row; htmx takes it."""
    browser.fill("#cards tbody [name=uid]", uid)
    browser.click("#cards tbody tr:first-child [type=submit]")
    browser.wait(lambda: len(browser.all("#cards tr[data-change]")) == count, f"{count} changes")


def warns_of_leaving(browser: Browser) -> bool:
    """Ask the page as a browser does before it goes elsewhere."""
    return not browser.driver.execute_script(
        "return window.dispatchEvent(new Event('beforeunload', {cancelable: true}))"
    )


def test_cards_that_are_not_saved_have_no_effect_and_are_not_left_without_a_warning(browser: Browser) -> None:
    browser.open("/users")
    assert not warns_of_leaving(browser)

    add(browser, "04AAAA01", 1)
    assert warns_of_leaving(browser)
    add(browser, "04AAAA02", 2)
    assert warns_of_leaving(browser)
    browser.click(".unsaved form[action$='/save'] button")
    browser.wait(lambda: not browser.all(".unsaved"), "the list as saved")

    assert not warns_of_leaving(browser)
    browser.open("/users?search=04AAAA")
    assert len(browser.all("#cards tbody tr")) == 3
