"""An installer sets the backend: what is wrong is said before anything is replaced, and what works is saved."""

from collections.abc import Iterator

import pytest

from tests.backend import Backend, ThreadedBackend
from tests.e2e.browser import Browser
from tests.e2e.conftest import Site
from tests.station import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.process]


@pytest.fixture
def other_backend(site: Site) -> Iterator[ThreadedBackend]:
    """A second backend; the station is at its own one again afterwards."""
    with Backend.threaded() as other:
        yield other
        before = site.backend.backend.connects
        site.station.config_set({"/ocpp/url": site.backend.url})
        wait_until(lambda: site.backend.backend.connects > before, what="the station at its own backend again")


def test_a_wrong_address_is_told_before_it_replaces_the_working_one(browser: Browser, site: Site) -> None:
    connects = site.backend.backend.connects
    browser.open("/communication/ocpp?operator=custom")
    browser.wait(lambda: browser.all("[data-step=heartbeat][data-verdict=good]"), "a good way to the server")

    browser.fill("#ocpp-url", "  ws://nowhere.invalid/ocpp ")
    browser.click("button[value=check]")
    browser.wait(lambda: browser.all("[data-step=name][data-verdict=bad]"), "the step that fails")

    assert site.backend.backend.connects == connects


def test_an_address_that_works_is_saved_and_used(browser: Browser, other_backend: ThreadedBackend) -> None:
    browser.open("/communication/ocpp?operator=custom")
    browser.fill("#ocpp-url", other_backend.url)
    browser.click("button[value=check]")

    wait_until(lambda: other_backend.books.stations, what="BootNotification at the new backend")
    browser.open("/communication/ocpp/messages?action=BootNotification")
    browser.click("#ocpp-messages tbody a")
    browser.wait(lambda: browser.all("pre"), "the message in full")

    assert "chargePointModel" in browser.all("pre")[0].text
