"""The page /sim against a real simulator behind its Unix socket."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from django.test import Client

from hardware.simulator.main import Simulator
from hardware.simulator.settings import SimulatorSettings
from station.paths import DataDirectory
from station.web import simulator_client


@pytest.fixture
def simulator(data: DataDirectory) -> Iterator[Simulator]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    simulator = Simulator(SimulatorSettings(directory=data.root, connectors=2))
    asyncio.run_coroutine_threadsafe(simulator.open(), loop).result(10)
    yield simulator
    asyncio.run_coroutine_threadsafe(simulator.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


def test_a_car_is_plugged_in_and_pulled_out_by_mouse(browser: Client, parts, simulator: Simulator):
    browser.post("/sim/connectors/1/plug", {"max_current_a": "16", "phases": "1", "battery_wh": "40000"})

    vehicle = simulator_client.state()["connectors"][0]["vehicle"]
    assert (vehicle["max_current_a"], vehicle["phases"], vehicle["battery_wh"]) == (16, 1, 40000)

    browser.post("/sim/connectors/1/unplug")
    assert simulator_client.state()["connectors"][0]["vehicle"] is None


@pytest.mark.parametrize(
    ("address", "form"),
    [
        ("/sim/connectors/1/button", {}),
        ("/sim/connectors/1/fault", {"code": "GroundFailure", "active": "true"}),
        ("/sim/connectors/1/fault", {"code": "GroundFailure"}),
        ("/sim/connectors/1/lock", {"on": "true"}),
        ("/sim/connectors/1/line", {"device": "meter", "mode": "silent"}),
        ("/sim/connectors/2/line", {"device": "controller", "mode": "unplugged"}),
        ("/sim/swipe", {"uid": "04A2B3C4"}),
        ("/sim/swipe", {"uid": "a1b2c3d4", "legic": "true"}),
        ("/sim/fault", {"code": "UnderVoltage", "active": "true"}),
        ("/sim/network", {}),
        ("/sim/modem", {"signal": "12"}),
        ("/sim/speed", {"factor": "60"}),
        ("/sim/reset", {}),
    ],
)
def test_every_button_does_something_the_simulator_knows(
    browser: Client, parts, simulator: Simulator, address: str, form: dict
):
    answer = browser.post(address, form, HTTP_HX_REQUEST="true").content.decode()

    assert 'id="scene-1"' in answer
    assert 'id="bench-problem" role="alert" hx-swap-oob="true"></p>' in answer


@pytest.fixture
def signing_simulator(data: DataDirectory, simulator: Simulator) -> Simulator:
    simulator.world.point(1).signing.is_played = True
    return simulator


def test_a_calibrated_meter_fares_badly_by_mouse(browser: Client, parts, signing_simulator: Simulator):
    browser.post("/sim/connectors/1/signing", {"fault": "forged", "active": "true"})
    browser.post("/sim/connectors/1/signing", {"seconds": "25"})
    assert simulator_client.state()["connectors"][0]["signing"] == {"seconds": 25, "faults": ["forged"]}
    assert "does not sign as it should" in browser.get("/sim").content.decode()

    browser.post("/sim/connectors/1/signing", {"fault": "forged"})
    assert simulator_client.state()["connectors"][0]["signing"]["faults"] == []


def test_only_a_point_whose_meter_signs_offers_that(browser: Client, parts, signing_simulator: Simulator):
    page = browser.get("/sim").content.decode()
    assert "/sim/connectors/1/signing" in page
    assert "/sim/connectors/2/signing" not in page


def test_faults_come_and_go(browser: Client, parts, simulator: Simulator):
    browser.post("/sim/connectors/2/fault", {"code": "GroundFailure", "active": "true"})
    assert simulator_client.state()["connectors"][1]["faults"] == ["GroundFailure"]

    browser.post("/sim/connectors/2/fault", {"code": "GroundFailure"})
    assert simulator_client.state()["connectors"][1]["faults"] == []


def test_a_refusal_of_the_simulator_is_shown(browser: Client, parts, simulator: Simulator):
    answer = browser.post("/sim/connectors/1/vehicle", {"ready": "false"}, HTTP_HX_REQUEST="true").content.decode()

    assert "The simulator refuses: no car" in answer


def test_the_bench_guides_through_a_first_charge(browser: Client, parts, simulator: Simulator):
    first = browser.get("/sim").content.decode()
    browser.post("/sim/connectors/1/plug", {"max_current_a": "32", "phases": "3"})
    second = browser.get("/sim").content.decode()

    assert 'id="scene-1" hx-swap-oob="true" data-step="1"' in first
    assert 'id="scene-1" hx-swap-oob="true" data-step="2"' in second


def test_without_the_simulator_the_bench_says_so(browser: Client, parts):
    assert "The simulator does not answer." in browser.get("/sim").content.decode()
    answer = browser.post("/sim/swipe", {"uid": "04A2"}, HTTP_HX_REQUEST="true").content.decode()
    assert "The simulator does not answer." in answer


def test_nonsense_reaches_no_simulator(browser: Client, parts, simulator: Simulator):
    before = simulator_client.state()["connectors"]

    assert browser.post("/sim/connectors/1/explode").status_code == 404
    answer = browser.post("/sim/connectors/1/plug", {"max_current_a": "9999", "phases": "3"}, HTTP_HX_REQUEST="true")

    assert "This value is not possible." in answer.content.decode()
    assert simulator_client.state()["connectors"] == before
