"""One station with a backend of its own and one window, shared by the whole folder: starting them is what costs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.backend import Backend, ThreadedBackend
from tests.e2e.browser import DESKTOP, Browser
from tests.station import Station, wait_until

STICKER = "Wolken-Kabel-42-Ast"
CARD = "04A2B3C4"


@dataclass(kw_only=True)
class Site:
    """The station, its backend, and the password that opens it now."""

    station: Station
    backend: ThreadedBackend
    password: str = STICKER

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.station.http_port}"

    def status(self, connector: int = 1) -> str:
        """Tell what the backend was told last about a charging point."""
        books = self.backend.books
        return next(
            (
                str(one.connectors[str(connector)].get("status"))
                for one in books.stations.values()
                if str(connector) in one.connectors
            ),
            "",
        )

    def wait_status(self, wanted: str, connector: int = 1) -> None:
        wait_until(lambda: self.status(connector) == wanted, what=f"{wanted} at the backend")

    def transaction(self, number: int) -> Any:
        """Return a transaction by its place in the books, once it is there."""

        def found() -> Any:
            transactions = self.backend.books.transactions
            return transactions[number] if len(transactions) > number else None

        return wait_until(found, what=f"transaction {number} at the backend")

    def wait_stopped(self, transaction: Any) -> None:
        wait_until(lambda: not transaction.is_open, what="StopTransaction at the backend")


@pytest.fixture(scope="session")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    identity = {"/identity/factoryPassword": STICKER, "/identity/productionDate": "2025-09"}
    with (
        Backend.threaded() as backend,
        Station.start(tmp_path_factory.mktemp("e2e"), backend_url=backend.url, config=identity) as station,
    ):
        yield Site(station=station, backend=backend)


@pytest.fixture
def site(running_site: Site) -> Site:
    """The station as at the beginning: no car, no fault, no session."""
    running_site.station.wait_healthy()
    running_site.station.sim("/reset")
    running_site.station.sim("/speed", {"factor": 1})
    for connector in (1, 2):
        running_site.wait_status("Available", connector)
    wait_until(
        lambda: not any(one.is_open for one in running_site.backend.books.transactions), what="the end of all sessions"
    )
    return running_site


@pytest.fixture(scope="session")
def window(running_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser.start(tmp_path_factory.mktemp("chromium"), running_site.url) as browser:
        yield browser


@pytest.fixture
def stranger(site: Site, window: Browser) -> Browser:
    """A laptop window in English that nobody is logged in at."""
    window.open("/login")
    window.driver.delete_all_cookies()
    # The page left behind must not go on asking for its live parts.
    window.driver.get("about:blank")
    window.resize(DESKTOP)
    window.prefer("light")
    window.complaints()
    window.hosts()
    return window


@pytest.fixture
def browser(site: Site, stranger: Browser) -> Iterator[Browser]:
    """A laptop window in English, logged in. Whatever a page complains of in the console fails the test."""
    stranger.open("/login")
    stranger.log_in(site.password)
    stranger.wait_path("/")
    yield stranger
    assert stranger.complaints() == []


@pytest.fixture
def charging(site: Site, browser: Browser) -> Browser:
    """A window while one point charges and the other has a fault: pages show most of what they can."""
    site.station.sim("/connectors/1/plug", {})
    site.wait_status("Preparing")
    site.station.sim("/reader/swipe", {"uid": CARD})
    site.wait_status("Charging")
    site.station.sim("/connectors/2/fault", {"code": "GroundFailure", "active": True})
    site.wait_status("Faulted", 2)
    return browser


@pytest.fixture
def plain_window(site: Site, tmp_path: Path) -> Iterator[Browser]:
    """A window whose user has switched JavaScript off."""
    with Browser.start(tmp_path / "chromium", site.url, scripts=False) as browser:
        yield browser
