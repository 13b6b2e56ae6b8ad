"""What people click, from the login to a stopped session, in a real browser at a whole station."""

import re

import pytest

from tests.e2e.browser import Browser
from tests.e2e.conftest import CARD, STICKER, Site
from tests.station import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.process]

POINT = "#connector-1"
POWER = f"{POINT}-live [data-role=power]"
ENERGY = f"{POINT}-live [data-role=energy]"
ANSWER = f"{POINT}-answer"


def press(browser: Browser, action: str, number: int = 1) -> None:
    """Press a button of the bench."""
    browser.click(f"#bench-{number} [data-action={action}]")


def number_in(browser: Browser, css: str) -> float:
    found = re.search(r"\d+(?:\.\d+)?", browser.read(css))
    return float(found[0]) if found else 0.0


def wait_state(browser: Browser, status: str, number: int = 1) -> None:
    browser.wait(lambda: browser.all(f"#connector-{number}-live[data-status={status}]"), f"{status} on the dashboard")


def begin_session(site: Site, browser: Browser) -> None:
    """Plug in and swipe on the bench, and go to the dashboard."""
    site.station.sim("/connectors/1/plug", {})
    browser.open("/")
    wait_state(browser, "Preparing")
    site.station.sim("/reader/swipe", {"uid": CARD})
    wait_state(browser, "Charging")


def test_a_newcomer_logs_in_charges_a_car_and_stops_it(site: Site, stranger: Browser) -> None:
    browser, before = stranger, len(site.backend.books.transactions)

    browser.open("/station/connectors")
    assert browser.path == "/login"
    browser.log_in("not the password")
    browser.wait_text("[role=alert]", "User name or password is wrong.")
    assert all("403" in complaint for complaint in browser.complaints())
    browser.log_in(site.password)
    browser.wait_path("/station/connectors")

    browser.choose_language("de")
    browser.wait_text("h1", "Ladepunkte")
    browser.choose_language("en")
    browser.wait_text("h1", "Connectors")

    browser.click(".menu-link[href='/sim']")
    browser.wait_path("/sim")
    card = browser.all("#bench-1 [name=uid]")[0].get_attribute("value")
    press(browser, "plug")
    browser.wait(lambda: browser.all("#scene-1[data-step='2']"), "the step of the card")
    press(browser, "swipe")
    browser.wait(lambda: browser.all("#scene-1[data-step='3']"), "the step of charging")

    browser.click(".menu-link[href='/']")
    wait_state(browser, "Charging")
    browser.driver.execute_script("window.sameDocument = true")
    browser.wait(lambda: number_in(browser, POWER) > 20, "22 kW on the dashboard")
    site.station.sim("/speed", {"factor": 60})
    drawn_kwh = number_in(browser, ENERGY)
    browser.wait(lambda: number_in(browser, ENERGY) > drawn_kwh, "energy that counts")
    transaction = site.transaction(before)
    assert (transaction.id_tag, transaction.connector_id, transaction.is_open) == (card, 1, True)

    browser.click(f"{POINT} [data-action=stop]")
    accept(browser, "was not started here. End it?")
    browser.wait_text(ANSWER, "The session is being ended.")
    wait_state(browser, "Finishing")
    site.wait_stopped(transaction)
    meter_wh = transaction.meter_stop_wh
    assert meter_wh > transaction.meter_start_wh
    browser.wait(
        lambda: number_in(browser, f"{POINT}-live [data-role=meter]") == pytest.approx(meter_wh / 1000, abs=0.0051),
        "the backend's meter reading",
    )
    assert browser.driver.execute_script("return window.sameDocument") is True

    browser.click(".menu-link[href='/sim']")
    browser.wait(
        lambda: number_in(browser, "#scene-1 [data-role=energy]") == pytest.approx(meter_wh / 1000, abs=0.0011),
        "it here",
    )
    press(browser, "unplug")
    browser.wait(lambda: browser.all("#scene-1[data-step='1']"), "the first step again")
    site.wait_status("Available")
    assert len(site.backend.books.transactions) == before + 1

    browser.click("#user-menu > summary")
    browser.click("#log-out")
    browser.wait_path("/login")
    browser.open("/")
    assert browser.path == "/login"
    assert browser.complaints() == []
    assert browser.hosts() == {"127.0.0.1"}


def test_the_dashboard_recovers_without_a_reload_when_the_web_process_dies(site: Site, browser: Browser) -> None:
    begin_session(site, browser)
    browser.driver.execute_script("window.sameDocument = true")
    live = "#connection-web[data-tone=good]"
    browser.wait(lambda: browser.all(live), "the word that the page is live")

    site.station.kill("web")

    browser.wait(lambda: browser.all("#connection-web[data-tone=bad]"), "the word that the page is not live")
    browser.wait(lambda: browser.all(live), "the page to be live again")
    drawn_kwh = number_in(browser, ENERGY)
    site.station.sim("/speed", {"factor": 60})
    browser.wait(lambda: number_in(browser, ENERGY) > drawn_kwh, "energy that counts again")
    assert browser.driver.execute_script("return window.sameDocument") is True
    forgive_absence(browser)


def test_a_session_started_from_the_dashboard_ends_with_unlock(site: Site, browser: Browser) -> None:
    before = len(site.backend.books.transactions)
    site.station.sim("/connectors/1/plug", {})
    wait_state(browser, "Preparing")

    browser.fill(f"{POINT}-card", CARD)
    browser.click(f"{POINT} [data-action=start]")
    wait_state(browser, "Charging")
    browser.wait_text(f"{POINT}-live [data-role=card]", "Web interface")
    transaction = site.transaction(before)
    assert site.station.connector()["locked"]

    browser.click(f"{POINT} [data-action=unlock]")
    question = browser.wait(lambda: browser.driver.switch_to.alert, "the question")
    assert question.text == "End the session and unlock?"
    question.accept()

    browser.wait_text(ANSWER, "Unlocked.")
    site.wait_stopped(transaction)
    site.station.wait_sim(lambda point: not point["locked"])
    assert transaction.reason == "UnlockCommand"


def test_a_refusal_says_why(site: Site, browser: Browser) -> None:
    browser.fill(f"{POINT}-card", "BLOCKED-7")
    browser.click(f"{POINT} [data-action=start]")
    browser.wait_text("#refusal", "The card is blocked.")
    assert "Card BLOC…" in browser.text("#refusal")

    browser.fill(f"{POINT}-card", "\u00e4")
    browser.click(f"{POINT} [data-action=start]")
    browser.wait_text(ANSWER, "This is not a usable card number (1 to 20 characters).")

    site.station.sim("/connectors/1/fault", {"code": "GroundFailure", "active": True})
    wait_state(browser, "Faulted")
    browser.wait_text(f"{POINT}-live [role=alert]", "The residual-current device has tripped")
    assert not browser.all(f"{POINT} [data-action=start]")


def test_the_password_is_changed_in_the_profile(site: Site, browser: Browser) -> None:
    fresh = "Neun Segel am Morgen"
    browser.click("#user-menu > summary")
    browser.click("#user-menu [href='/profile']")
    browser.wait_path("/profile")

    change_password(browser, STICKER, fresh, repeat="something else")
    browser.wait_text(".field-error", "The two new passwords differ.")
    change_password(browser, "wrong", fresh)
    browser.wait_text(".field-error", "The old password is wrong.")
    assert all("400" in complaint for complaint in browser.complaints())
    change_password(browser, STICKER, fresh)
    browser.wait_text(".notice", "The password has been changed.")
    site.password = fresh

    browser.click("#user-menu > summary")
    browser.click("#log-out")
    browser.wait_path("/login")
    browser.log_in(STICKER)
    browser.wait_text("[role=alert]", "User name or password is wrong.")
    assert all("403" in complaint for complaint in browser.complaints())
    browser.log_in(fresh)
    browser.wait_path("/")


def change_password(browser: Browser, old: str, new: str, *, repeat: str | None = None) -> None:
    browser.fill("[name=old]", old)
    browser.fill("[name=new]", new)
    browser.fill("[name=repeat]", new if repeat is None else repeat)
    page = browser.driver.find_element("tag name", "html")
    browser.click("#password-form [type=submit]")
    browser.wait_gone(page)


def test_expert_mode_stays_chosen(site: Site, browser: Browser) -> None:
    for mode in ("expert", "default"):
        browser.open("/profile")
        browser.click(f"[name=advanced][value={mode}]")
        browser.click("#advanced-form [type=submit]")
        browser.wait_text(".notice", "Saved.")

        assert browser.all(f"[value={mode}]:checked")


def test_a_restart_of_the_daemon_leaves_the_session_alone(site: Site, browser: Browser) -> None:
    before = len(site.backend.books.transactions)
    begin_session(site, browser)
    transaction = site.transaction(before)
    main, hardware = site.station.pid, site.station.pid_of("hardware")

    browser.click("#user-menu > summary")
    browser.click("#user-menu [href='/system/restart']")
    browser.click("[data-action=restart]")
    browser.wait_text("h1", "The daemon is restarting")
    browser.wait_path("/")

    wait_state(browser, "Charging")
    browser.wait(lambda: number_in(browser, POWER) > 20, "22 kW after the restart")
    assert site.station.pid == main
    wait_until(lambda: site.station.child_pids().get("hardware") not in {None, hardware}, what="a new control loop")
    assert transaction.is_open
    assert len(site.backend.books.transactions) == before + 1
    forgive_absence(browser)


def test_a_reboot_names_the_session_that_it_ends(site: Site, browser: Browser) -> None:
    before = len(site.backend.books.transactions)
    begin_session(site, browser)
    transaction = site.transaction(before)

    browser.click("#user-menu > summary")
    browser.click("#user-menu [href='/system/reboot']")
    browser.wait_text("#ending-sessions", f"Charging point 1: card {CARD[:4]}")
    browser.click("main a.button")
    browser.wait_path("/")
    assert transaction.is_open
    browser.open("/system/reboot")
    browser.click("[data-action=reboot]")

    browser.wait_path("/")
    site.wait_stopped(transaction)
    assert transaction.reason == "Reboot"
    forgive_absence(browser)


def accept(browser: Browser, question: str) -> None:
    """Say yes to a question of the page."""
    alert = browser.wait(lambda: browser.driver.switch_to.alert, "the question")
    assert question in alert.text
    alert.accept()


def forgive_absence(browser: Browser) -> None:
    """Take what the browser says while nobody listens: refused connections, “not ready yet”, a broken live socket."""
    # htmx writes the error event of a WebSocket to the console as it is.
    known = re.compile(
        r"ERR_CONNECTION|ERR_EMPTY_RESPONSE|503|Connection closed before receiving|htmx-2\.min\.js .*\[object Event\]"
    )
    assert [one for one in browser.complaints() if not known.search(one)] == []


def test_without_scripts_plain_forms_start_and_stop_a_session(site: Site, plain_window: Browser) -> None:
    browser, before = plain_window, len(site.backend.books.transactions)
    browser.open("/")
    browser.log_in(site.password)
    browser.wait_path("/")
    browser.open("/sim")
    press(browser, "plug")
    site.wait_status("Preparing")

    browser.open("/")
    browser.fill(f"{POINT}-card", CARD)
    browser.click(f"{POINT} [data-action=start]")
    browser.wait_text(".notice", "Start requested.")
    transaction = site.transaction(before)

    def charges() -> bool:
        browser.open("/")
        return browser.text(f"{POINT}-live [data-role=state]") == "Charging"

    browser.wait(charges, "“Charging” after loading the page again")

    browser.click(f"{POINT} [data-action=stop]")
    browser.wait_text(".notice", "The session is being ended.")
    site.wait_stopped(transaction)
    assert transaction.reason == "Local"
