"""Take the pictures of the README: `python -m tests.e2e.screenshots` from the top of the tree."""

import tempfile
from pathlib import Path

from tests.backend import Backend
from tests.e2e.browser import Browser
from tests.station import Station, wait_until

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
PASSWORD = "Wolken-Kabel-42-Ast"
WIDTH = 1280
# Enough on the meter for a picture that is not full of zeros: some 40 seconds, at true speed so that energy and
# duration fit each other.
SHOWN_WH = 250
PATIENCE_S = 90


def main() -> None:
    """Charge a car at the first point and take both pages while it charges."""
    identity = {
        "/identity/serial": "104711815",
        "/identity/factoryPassword": PASSWORD,
        "/identity/productionDate": "2025-09",
    }
    with (
        tempfile.TemporaryDirectory() as scratch,
        Backend.threaded() as backend,
        Station.start(Path(scratch), backend_url=backend.url, config=identity) as station,
        Browser.start(Path(scratch) / "chromium", f"http://127.0.0.1:{station.http_port}") as browser,
    ):
        browser.open("/login")
        browser.log_in(PASSWORD)
        browser.wait_path("/")
        station.sim("/connectors/1/plug", {"battery_wh": 40_000})
        browser.wait(lambda: browser.all("#connector-1-live[data-status=Preparing]"), "the car")
        station.sim("/reader/swipe", {"uid": "04A2B3C4"})
        wait_until(
            lambda: station.connector()["energy_wh"] > SHOWN_WH, timeout_s=PATIENCE_S, what="energy on the meter"
        )
        take(browser, IMAGES / "dashboard.png")
        browser.open("/sim")
        browser.wait(lambda: browser.all("#scene-1[data-step='3']"), "the charging car")
        take(browser, IMAGES / "bench.png")


def take(browser: Browser, path: Path) -> None:
    """Save the page from its top to the end of what it holds."""
    height = browser.driver.execute_script(
        "return Math.ceil(document.querySelector('main').lastElementChild.getBoundingClientRect().bottom + 32)"
    )
    browser.resize((WIDTH, int(height)))
    browser.save(path)


if __name__ == "__main__":
    main()
