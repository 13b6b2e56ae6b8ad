"""A station whose charging points have controllers and meters of different makers charges on both at once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.simulator.config import ABL, BOARD, SDM630, SML, PlayedDevices, hardware_config
from tests.station import Station, wait_until

pytestmark = pytest.mark.process

CARDS = {1: "04A2B3C4", 2: "04D5E6F7"}
DEVICES = {1: PlayedDevices(controller=ABL, meter=SML), 2: PlayedDevices(controller=BOARD, meter=SDM630)}


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    data = tmp_path / "station"
    data.mkdir(mode=0o700)
    (data / "hardware.json").write_text(json.dumps(hardware_config(data, 2, devices=DEVICES)))
    with Station.start(tmp_path, data=data, environment={"STATION_DATA_DIR": str(data)}) as station:
        yield station


def test_a_mixed_station_charges_on_both_points_and_ends_on_both(station: Station) -> None:
    station.config_set({"LocalAuthorizeOffline": "true", "AllowOfflineTxForUnknownId": "true"})

    for number, card in CARDS.items():
        station.sim(f"/connectors/{number}/plug", {})
        station.wait_sim(lambda point: point["cp_state"] != "A", number=number)
        station.sim("/reader/swipe", {"uid": card})
        wait_until(
            lambda number=number: station.connector(number)["power_w"] > 0,
            timeout_s=30,
            what=f"point {number} charges",
        )
    assert station.connector(1)["power_w"] > 0, "point 1 goes on"

    for number, card in CARDS.items():
        station.sim("/reader/swipe", {"uid": card})
        station.wait_sim(lambda point: point["power_w"] == 0, number=number, timeout_s=30)
        # The ABL board keeps the plug locked by itself until the car is gone.
        station.sim(f"/connectors/{number}/unplug", {})
        station.wait_sim(lambda point: not point["plugged"], number=number, timeout_s=30)
