"""A station whose charging points have controllers and meters of different makers charges on both at once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hardware.simulator.config import ABL, BOARD, SDM630, SML, PlayedDevices, hardware_config
from tests.process.judgement import stored_status
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

    charge_on_both(station)
    assert station.connector(1)["power_w"] > 0, "point 1 goes on"

    for number, card in CARDS.items():
        station.sim("/reader/swipe", {"uid": card})
        station.wait_sim(lambda point: point["power_w"] == 0, number=number, timeout_s=60)
        # The ABL board keeps the plug locked by itself until the car is gone.
        station.sim(f"/connectors/{number}/unplug", {})
        station.wait_sim(lambda point: not point["plugged"], number=number, timeout_s=60)


def charge_on_both(station: Station) -> None:
    for number, card in CARDS.items():
        station.sim(f"/connectors/{number}/plug", {})
        station.wait_sim(lambda point: point["cp_state"] != "A", number=number)
        station.sim("/reader/swipe", {"uid": card})
        wait_until(lambda number=number: charges(station, number), timeout_s=60, what=f"point {number} charges")


def charges(station: Station, number: int) -> bool:
    return bool(station.connector(number)["power_w"] > 0)


def is_red(station: Station, number: int) -> bool:
    return bool(station.sim("/state")["lamp"][number - 1]["colour"] == "red")


@pytest.mark.parametrize("device", ["controller", "meter"])
def test_an_adapter_that_is_pulled_and_plugged_in_again_is_found_while_the_other_point_charges(
    station: Station, device: str
) -> None:
    station.config_set({"LocalAuthorizeOffline": "true", "AllowOfflineTxForUnknownId": "true"})
    charge_on_both(station)
    # The simulator's name for the port stays the same over replugging, as /dev/serial/by-id/… does.
    path = station.data / "sim" / f"{device}-1"

    station.sim("/connectors/1/line", {"device": device, "mode": "unplugged"})
    assert not path.is_symlink()
    wait_until(lambda: is_red(station, 1), timeout_s=60, what="a red lamp")
    assert charges(station, 2)

    station.sim("/connectors/1/line", {"device": device, "mode": "ok"})
    assert path.is_symlink()
    wait_until(
        lambda: station.sim("/state")["lamp"][0]["colour"] not in {"red", "off"}, timeout_s=60, what="another colour"
    )
    assert charges(station, 2)

    # The point is as good as new: the car leaves, the next one charges.
    station.sim("/connectors/1/unplug", {"side": "vehicle"})
    station.wait_sim(lambda point: not point["plugged"], timeout_s=60)
    # A card means something else while the session before has not ended.
    wait_until(lambda: stored_status(station, 1) == "Available", timeout_s=60, what="the end of the session")
    station.sim("/connectors/1/plug", {})
    wait_until(lambda: stored_status(station, 1) == "Preparing", timeout_s=60, what="a car that waits for a card")
    station.sim("/reader/swipe", {"uid": "04FFFF01"})
    wait_until(lambda: charges(station, 1), timeout_s=90, what="point 1 charges again")
