"""What the simulator takes from the hardware.json of its station, and what it leaves there."""

import json
from pathlib import Path

from hardware.simulator.config import ABL, B23, PlayedDevices, chosen, hardware_config


def test_what_the_installer_has_set_is_there_after_the_next_start(tmp_path: Path) -> None:
    set_by_hand = hardware_config(tmp_path, 3, devices={1: PlayedDevices(meter=B23), 3: PlayedDevices(controller=ABL)})
    set_by_hand["connectors"][1]["phases"] = 1
    (tmp_path / "hardware.json").write_text(json.dumps(set_by_hand), encoding="utf-8")

    assert hardware_config(tmp_path, 3, devices=chosen(tmp_path)) == set_by_hand


def test_a_point_that_has_lost_its_meter_takes_nothing_from_the_others(tmp_path: Path) -> None:
    set_by_hand = hardware_config(tmp_path, 2, devices={2: PlayedDevices(meter=B23, phases=1)})
    set_by_hand["connectors"][0] |= {"meter": None, "phases": 1}
    (tmp_path / "hardware.json").write_text(json.dumps(set_by_hand), encoding="utf-8")

    assert chosen(tmp_path) == {1: PlayedDevices(phases=1), 2: PlayedDevices(meter=B23, phases=1)}
