"""Chromium as a person uses it: it opens pages, reads, types and clicks, and tells what it complained about."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

from selenium.common.exceptions import (
    ElementClickInterceptedException,
    NoAlertPresentException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
    WebDriverException,
)
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

T = TypeVar("T")
# A page that a busy machine renders late is not a page that fails.
TIMEOUT_S = 15.0
STEP_S = 0.05
DESKTOP = (1280, 900)
PHONE = (360, 740)
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--hide-scrollbars",
)
_NOT_OF_THE_PAGE = "does not belong to the document"
# The live socket renews parts of the page at any moment, also between finding an element and clicking it.
_RENEWED = (
    NoAlertPresentException,
    NoSuchElementException,
    StaleElementReferenceException,
    ElementClickInterceptedException,
)


class Browser:
    """One window with a profile of its own."""

    def __init__(self, driver: Chrome, base_url: str) -> None:
        self.driver = driver
        self.base_url = base_url

    @classmethod
    @contextmanager
    def start(
        cls,
        profile: Path,
        base_url: str,
        *,
        language: str = "en",
        size: tuple[int, int] = DESKTOP,
        scripts: bool = True,
    ) -> Iterator[Self]:
        """Open a window for the length of a block; a narrow one behaves as a phone."""
        width, height = size
        options = ChromeOptions()
        options.binary_location = next(found for name in _CHROMIUM if (found := shutil.which(name)))
        for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", f"--lang={language}"):
            options.add_argument(flag)
        preferences: dict[str, Any] = {
            "intl.accept_languages": language,
            "credentials_enable_service": False,
            "profile.password_manager_enabled": False,
        }
        if not scripts:
            preferences["profile.managed_default_content_settings.javascript"] = 2
        options.add_experimental_option("prefs", preferences)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
        try:
            driver.set_page_load_timeout(TIMEOUT_S)
            browser = cls(driver, base_url)
            browser.resize(size)
            yield browser
        finally:
            driver.quit()

    def resize(self, size: tuple[int, int], *, scale: float = 1) -> None:
        """Become this large; narrow windows are phones with a touch screen."""
        width, height = size
        is_phone = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": is_phone}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def prefer(self, scheme: str) -> None:
        """Ask pages for the dark or the light colours."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    # --- moving ----------------------------------------------------------------------------------------------

    def open(self, path: str) -> None:
        """Go to a page of the station."""
        self.driver.get(self.base_url + path)

    @property
    def path(self) -> str:
        """Name the page shown."""
        return urlsplit(self.driver.current_url).path

    def wait(self, condition: Callable[[], T], what: str, *, timeout_s: float = TIMEOUT_S) -> T:
        """Wait until a condition gives something true."""

        def met(_driver: object) -> T | None:
            try:
                return condition() or None
            except _RENEWED:
                return None
            except WebDriverException as trouble:
                if _is_being_replaced(trouble):
                    return None
                raise

        try:
            found = WebDriverWait(self.driver, timeout_s, poll_frequency=STEP_S).until(met)
        except TimeoutException:
            text = f"{what} did not come within {timeout_s:.0f} s on {self.driver.current_url}:\n{self.text()[:2000]}"
            raise AssertionError(text) from None
        assert found is not None
        return found

    def wait_path(self, path: str) -> None:
        """Wait until the page shown is this one."""
        self.wait(lambda: self.path == path and self._is_complete(), f"the page {path}")

    def wait_gone(self, element: WebElement) -> None:
        """Wait until the page this element stood on has made room for another."""

        def gone() -> bool:
            try:
                element.is_enabled()
            except StaleElementReferenceException:
                return True
            except WebDriverException as trouble:
                if _is_being_replaced(trouble):
                    return True
                raise
            return False

        self.wait(gone, "another page")

    def _is_complete(self) -> bool:
        return bool(self.driver.execute_script("return document.readyState === 'complete'"))

    # --- reading ---------------------------------------------------------------------------------------------

    def all(self, css: str) -> list[WebElement]:
        """Find everything that a selector fits."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def text(self, css: str = "body") -> str:
        """Read what stands there."""
        return self.driver.find_element(By.CSS_SELECTOR, css).text

    def read(self, css: str) -> str:
        """Wait for a text to stand there and read it."""
        return self.wait(lambda: self.text(css), f"a text in {css}")

    def wait_text(self, css: str, wanted: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until a text contains the wanted one."""
        self.wait(lambda: wanted in self.text(css), f"“{wanted}” in {css}", timeout_s=timeout_s)

    # --- doing -----------------------------------------------------------------------------------------------

    def click(self, css: str) -> None:
        """Press what a selector fits, as soon as it is there to be pressed."""

        went_while_pressed = False

        def pressed() -> bool:
            nonlocal went_while_pressed
            if went_while_pressed and not self.all(css):
                return True
            found = self.driver.find_element(By.CSS_SELECTOR, css)
            try:
                found.click()
            except WebDriverException as trouble:
                # Either the page renewed it just before, then it is there again, or the press has led to another page.
                went_while_pressed = isinstance(trouble, StaleElementReferenceException) or _is_being_replaced(trouble)
                raise
            return True

        self.wait(pressed, f"{css} to press")

    def fill(self, css: str, text: str) -> None:
        """Type into a field in place of what stands there."""

        def filled() -> bool:
            field = self.driver.find_element(By.CSS_SELECTOR, css)
            field.clear()
            field.send_keys(text)
            return True

        self.wait(filled, f"{css} to fill")

    def log_in(self, password: str, *, user: str = "admin") -> None:
        """Fill in the form of the login page and send it."""
        self.fill("[name=username]", user)
        self.fill("[name=password]", password)
        self.click("#login-form [type=submit]")

    def choose_language(self, language: str) -> None:
        """Use the switch of the user menu."""
        self.click("#user-menu > summary")
        self.click(f"#user-menu [name=language][value={language}]")
        self.wait(lambda: self.all(f"html[lang={language}]"), f"a page in {language}")

    # --- judging ---------------------------------------------------------------------------------------------

    def complaints(self) -> list[str]:
        """Take from the console what the browser has warned of since the last question."""
        entries = self.driver.get_log("browser")
        return [str(entry["message"]) for entry in entries if entry["level"] in {"WARNING", "SEVERE"}]

    def hosts(self) -> set[str]:
        """Tell which machines were asked for anything since the last question."""
        return {
            host
            for entry in self.driver.get_log("performance")
            for url in _requested(json.loads(entry["message"])["message"])
            if (host := urlsplit(url).hostname)
        }

    def loaded_bytes(self, path: str) -> int:
        """Open a page with nothing kept from before, and tell what came over the wire for it."""
        self.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        try:
            self.driver.get_log("performance")
            self.open(path)
            events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        finally:
            self.driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": False})
        return sum(
            int(event["params"]["encodedDataLength"])
            for event in events
            if event["method"] == "Network.loadingFinished"
        )

    def save(self, path: Path) -> None:
        """Take a picture of the window."""
        path.write_bytes(self.driver.get_screenshot_as_png())


def _is_being_replaced(trouble: WebDriverException) -> bool:
    """Return whether the driver says, in other words than usual, that an element has just gone with its page."""
    return _NOT_OF_THE_PAGE in (trouble.msg or "")


def _requested(event: Mapping[str, Any]) -> Iterator[str]:
    match event:
        case {"method": "Network.requestWillBeSent", "params": {"request": {"url": url}}}:
            yield url
        case {"method": "Network.webSocketCreated", "params": {"url": url}}:
            yield url
