"""axe-core judges every page: what keeps people with a keyboard or a screen reader from using it fails."""

from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import Browser
from tests.e2e.conftest import Site
from tests.e2e.tour import pages
from tests.process.judgement import free_ports

pytestmark = [pytest.mark.e2e, pytest.mark.process]

AXE = Path(__file__).with_name("node_modules") / "axe-core/axe.min.js"
SERIOUS = {"serious", "critical"}
# axe answers when it is done, not at once.
JUDGE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then((found) => done(found.violations), (error) => done([
  {id: "axe", impact: "critical", help: String(error), nodes: []},
]));
"""
LOAD_MANAGEMENT = "/communication/load-management"
# Pages that no menu leads to.
OTHERS = ("/users/import", "/no-such-page", "/system/reboot", "/system/restart")


def faults(browser: Browser) -> list[str]:
    """List what axe-core finds serious on the page shown, each with the places."""
    browser.driver.execute_script(AXE.read_text())
    found: list[dict[str, Any]] = browser.driver.execute_async_script(JUDGE)
    return [
        f"{one['id']}: {one['help']}: {[str(node['html'])[:160] for node in one['nodes']]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


def test_no_page_has_a_serious_fault(charging: Browser) -> None:
    found = {address: faults(charging) for address in pages(charging) if not address.startswith("/admin")}
    for address in OTHERS:
        charging.open(address)
        found[address] = faults(charging)
    charging.complaints()

    assert {address: each for address, each in found.items() if each} == {}


def test_the_pages_of_a_cluster_have_no_serious_fault(site: Site, browser: Browser) -> None:
    (port,) = free_ports(1)
    lead = {"/cluster/role": "master", "/cluster/limitA": "63", "/cluster/address": f"127.0.0.1:{port}"}
    site.station.config_set({**lead, "/cluster/enabled": "true"})
    try:
        browser.open(LOAD_MANAGEMENT)
        browser.wait(lambda: browser.all("#cluster-live [data-station]"), "the stations of the cluster")
        found = faults(browser)
        for address in ("link-lost", "code"):
            browser.open(f"{LOAD_MANAGEMENT}/{address}")
            found += faults(browser)
    finally:
        site.station.config_set({"/cluster/enabled": "false"})

    assert found == []


def test_the_log_in_page_has_no_serious_fault(stranger: Browser) -> None:
    stranger.open("/login")

    assert faults(stranger) == []
