"""New software over the page Update, as an installer brings it: the page finds the station again by itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import Browser
from tests.e2e.conftest import STICKER
from tests.images import Maker
from tests.station import Station

pytestmark = [pytest.mark.e2e, pytest.mark.process]

IDENTITY = {"/identity/factoryPassword": STICKER, "/identity/productionDate": "2025-09"}
LONG_S = 60.0


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    """A station of its own: the others should not see another version."""
    with Station.start(tmp_path, config=IDENTITY) as running:
        yield running


@pytest.fixture
def window(station: Station, tmp_path: Path) -> Iterator[Browser]:
    with Browser.start(tmp_path / "chromium", f"http://127.0.0.1:{station.http_port}") as browser:
        yield browser


def shows(browser: Browser, text: str) -> None:
    browser.wait_text("#update", text, timeout_s=LONG_S)


def test_an_installer_brings_new_software_with_a_file(station: Station, window: Browser, tmp_path: Path) -> None:
    maker = Maker()
    (station.data / "sim" / "update_key.pem").write_bytes(maker.key.pem)
    image = maker.image(tmp_path / "station.raucb", files={"root": bytes(4_000_000)})
    toaster = maker.image(tmp_path / "toaster.raucb", product="toaster")
    window.open("/software/update")
    window.log_in(STICKER)
    window.wait_path("/software/update")
    shows(window, "The upload is shown in expert mode.")
    window.open("/profile")
    window.click("input[name=advanced][value=expert]")
    (form,) = window.all("form:has(input[name=advanced])")
    window.click("form:has(input[name=advanced]) button[type=submit]")
    window.wait_gone(form)

    upload(window, toaster)
    shows(window, "The file is for another product (toaster).")
    upload(window, image)
    shows(window, "is signed by the manufacturer")
    window.driver.execute_script("window.sameDocument = true")
    window.click("#install")

    shows(window, "Version 9.1.0 was installed and is running")
    # Another version may have other scripts, so the page was loaded anew.
    assert window.driver.execute_script("return window.sameDocument") is None
    assert (station.data / "files" / "slots" / "b" / "root").stat().st_size == 4_000_000
    assert list((station.data / "files" / "jobs").iterdir()) == []
    window.open("/software/versions")
    assert "9.1.0 (is running)" in window.text("main")


def upload(browser: Browser, file: Path) -> None:
    browser.open("/software/update")
    (field,) = browser.all("#image")
    field.send_keys(str(file))
    browser.click("#upload button[type=submit]")
