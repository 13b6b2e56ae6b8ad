"""Take the pictures of the README and the manuals: `python -m tests.e2e.screenshots` from the top of the tree.

docs/images/LANGUAGE/NAME.webp, in both languages, of every page of the menu and of what people meet on their way there.
"""

import shutil
import tempfile
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

from tests.backend import Backend, ThreadedBackend
from tests.e2e.browser import Browser
from tests.e2e.tour import pages
from tests.process.judgement import free_ports
from tests.station import Station, wait_until

IMAGES = Path(__file__).resolve().parents[2] / "docs/images"
LANGUAGES = ("en", "de")
PASSWORD = "Wolken-Kabel-42-Ast"
CODE = "7KQ2M-XPT4A-HV6RD-B3WNE-J5YCF-S"
FALLBACK_A = 6
CARD, GUEST = "04A2B3C4", "04112233"
CARDS = f"""UID;GID;Expiry;Authorization
{CARD};FLEET;;accepted
{GUEST};;2027-12-31T22:00:00;accepted
04D1E2F3;FLEET;;blocked
aec78085;;;accepted
"""
WIDTH, PHONE = 1280, 390
# Above it a picture would be scrolled, not looked at.
HIGHEST = 1600
# Enough on the meter for a picture that is not full of zeros: some 40 seconds, at true speed so that energy and
# duration fit each other.
SHOWN_WH = 250
PATIENCE_S = 90


def main() -> None:
    """Charge a car at the first point, and take every page while it charges, in one language after the other."""
    identity = {
        "/identity/serial": "104711815",
        "/identity/factoryPassword": PASSWORD,
        "/identity/productionDate": "2025-09",
    }
    (port,) = free_ports(1)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Backend.threaded() as backend,
        Station.start(Path(scratch) / "station", backend_url=backend.url, config=identity | lead(port)) as station,
        Station.start(Path(scratch) / "neighbour", config=follow(port)) as neighbour,
        Browser.start(Path(scratch) / "chromium", f"http://127.0.0.1:{station.http_port}") as browser,
    ):
        for language in LANGUAGES:
            shutil.rmtree(IMAGES / language, ignore_errors=True)
            (IMAGES / language).mkdir(parents=True)
        each(browser, "login", lambda: browser.open("/login"))
        browser.log_in(PASSWORD)
        browser.wait_path("/")
        browser.click("#own-password button")
        browser.wait(lambda: not browser.all("#own-password"), "the page without the suggestion")
        import_cards(browser, Path(scratch) / "cards.csv")
        cluster(neighbour)
        past(station, backend)
        station.sim("/connectors/1/plug", {"battery_wh": 40_000})
        browser.open("/")
        browser.wait(lambda: browser.all("#connector-1-live[data-status=Preparing]"), "the car")
        station.sim("/reader/swipe", {"uid": CARD})
        wait_until(
            lambda: station.connector()["energy_wh"] > SHOWN_WH, timeout_s=PATIENCE_S, what="energy on the meter"
        )
        tour(browser)
        browser.resize((PHONE, 844))
        each(browser, "phone-dashboard", lambda: browser.open("/"), width=PHONE)


def lead(port: int) -> dict[str, str]:
    """Return the settings of a cluster's master."""
    return {
        "/cluster/enabled": "true",
        "/cluster/role": "master",
        "/cluster/limitA": "40",
        "/cluster/address": f"127.0.0.1:{port}",
        "/cluster/key": CODE,
    }


def follow(port: int) -> dict[str, str]:
    """Return the settings of its slave, where everybody may charge."""
    return {
        "/identity/serial": "104711816",
        "/auth/identification": "none",
        "/cluster/enabled": "true",
        "/cluster/address": f"127.0.0.1:{port}",
        "/cluster/key": CODE,
    }


def cluster(neighbour: Station) -> None:
    """Let a car charge at the neighbour with what the master grants."""
    neighbour.sim("/connectors/1/plug", {"battery_wh": 40_000})
    wait_until(
        lambda: neighbour.sim("/state")["connectors"][0]["offered_a"] > FALLBACK_A,
        timeout_s=PATIENCE_S,
        what="a share of the cluster",
    )


def past(station: Station, backend: ThreadedBackend) -> None:
    """Let a car have charged at the second point."""
    station.sim("/connectors/2/plug", {})
    station.sim("/reader/swipe", {"uid": GUEST})
    station.sim("/speed", {"factor": 60})
    wait_until(lambda: station.connector(2)["energy_wh"] > 2_000, timeout_s=PATIENCE_S, what="energy on the meter")
    station.sim("/speed", {"factor": 1})
    station.sim("/reader/swipe", {"uid": GUEST})
    wait_until(
        lambda: backend.books.transactions and not backend.books.transactions[0].is_open, what="the end of a session"
    )
    station.sim("/connectors/2/unplug", {"side": "vehicle"})


def import_cards(browser: Browser, path: Path) -> None:
    """Import a list as an installer does, and take the preview."""
    path.write_text(CARDS)

    def preview() -> None:
        browser.open("/users/import")
        if browser.all("form[action$='/confirm']"):
            return
        browser.driver.find_element("css selector", "input[type=file]").send_keys(str(path))
        browser.click("main form [type=submit]")
        browser.wait(lambda: browser.all("form[action$='/confirm']"), "the preview")

    each(browser, "users-import", preview)
    browser.click("form[action$='/confirm'] [type=submit]")


def tour(browser: Browser) -> None:
    """Take every page the menus lead to, the list behind the traffic light, and a session."""
    for address in dict.fromkeys([*pages(browser), "/status"]):
        if address.startswith("/admin"):
            continue
        name = address.strip("/").replace("/", "-") or "dashboard"
        each(browser, name, lambda address=address: browser.open(address))
    each(browser, "session", lambda: browser.open("/sessions/1"))
    each(browser, "load-management-link-lost", lambda: browser.open("/communication/load-management/link-lost"))


def each(browser: Browser, name: str, go: Callable[[], None], *, width: int = WIDTH) -> None:
    """Take one page in every language."""
    for language in LANGUAGES:
        go()
        speak(browser, language)
        browser.wait(lambda: browser.all("h1"), f"a heading for {name}")
        take(browser, IMAGES / language / f"{name}.webp", width)


def speak(browser: Browser, language: str) -> None:
    """Have the page shown in a language; the switch comes back to the page it was used on."""
    if browser.all(f"html[lang={language}]"):
        return
    if browser.all("#user-menu"):
        browser.choose_language(language)
    else:
        browser.click(f"[name=language][value={language}]")
    browser.wait(lambda: browser.all(f"html[lang={language}]"), f"a page in {language}")


def take(browser: Browser, path: Path, width: int = WIDTH) -> None:
    """Save the page from its top to the end of what it holds."""
    height = browser.driver.execute_script(
        "const last = document.querySelector('main').lastElementChild;"
        "return Math.ceil(last.getBoundingClientRect().bottom + 32)"
    )
    browser.resize((width, min(max(int(height), 500), HIGHEST)))
    picture = browser.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "webp", "quality": 80})
    path.write_bytes(b64decode(picture["data"]))


if __name__ == "__main__":
    main()
