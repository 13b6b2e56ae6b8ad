import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key

from hardware.simulator.config import hardware_config
from hardware.simulator.electricity import load
from hardware.simulator.files import HostFile, MetersFile, MetersFileUnreadable
from hardware.simulator.sockets import ControlAddressRefused, listen_on_loopback


def test_meters_start_at_zero_in_a_fresh_folder_and_go_on_in_a_used_one(tmp_path: Path) -> None:
    file = MetersFile(tmp_path)
    meters = file.open([1, 2])
    assert [meter.energy.total_wh for meter in meters.values()] == [0, 0]
    assert meters[1].serial_number != meters[2].serial_number
    meters[2].energy.count(load(current_a=16, phases=3, missing_phase=None), hours=0.1)
    file.keep()

    again = MetersFile(tmp_path).open([1, 2])

    assert again[2].energy.total_wh == meters[2].energy.total_wh > 1000
    assert (again[1].serial_number, again[1].public_key) == (meters[1].serial_number, meters[1].public_key)


def test_the_file_is_written_only_when_a_count_has_changed(tmp_path: Path) -> None:
    file = MetersFile(tmp_path)
    file.open([1])
    written = (tmp_path / "meters.json").stat().st_ino

    file.keep()

    assert (tmp_path / "meters.json").stat().st_ino == written


def test_a_second_point_gets_a_new_meter_and_the_first_keeps_its_own(tmp_path: Path) -> None:
    first = MetersFile(tmp_path).open([1])[1].serial_number

    assert MetersFile(tmp_path).open([1, 2])[1].serial_number == first
    assert set(MetersFile(tmp_path).open([1])) >= {1, 2}


def test_each_meter_has_a_key_on_the_curve_of_calibration_law_and_keeps_the_private_part_to_itself(
    tmp_path: Path,
) -> None:
    key = load_der_public_key(MetersFile(tmp_path).open([1])[1].public_key)

    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert stat.S_IMODE((tmp_path / "meter-1.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", ["", "[]", '{"1": {}}', '{"1": {"energy_wh": [1, 2, -3], "serial_number": 1, "public_key": ""}}']
)
def test_an_unreadable_count_stops_the_start_instead_of_starting_at_zero(tmp_path: Path, content: str) -> None:
    (tmp_path / "meters.json").write_text(content)

    with pytest.raises(MetersFileUnreadable):
        MetersFile(tmp_path).open([1])


def test_the_revision_of_the_host_file_grows_over_restarts_and_only_with_changes(tmp_path: Path) -> None:
    def told() -> dict[str, object]:
        content: dict[str, object] = json.loads((tmp_path / "host.json").read_text())
        return content

    host = HostFile(tmp_path)
    host.open()
    host.tell(modem={"signal": 80}, backend_link=True)
    host.tell(modem={"signal": 80}, backend_link=True)
    assert told() == {"modem": {"signal": 80}, "backend_link": True, "revision": 1}

    again = HostFile(tmp_path)
    again.open()
    again.tell(modem={"signal": 80}, backend_link=False)
    assert told() == {"modem": {"signal": 80}, "backend_link": False, "revision": 2}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org", ""])
def test_the_control_api_does_not_listen_where_others_reach_it(host: str) -> None:
    with pytest.raises(ControlAddressRefused):
        listen_on_loopback(host, 0)


def test_the_hardware_configuration_is_accepted_by_its_own_check(tmp_path: Path) -> None:
    from hardware.drivers.config import parse

    configuration = parse(hardware_config(tmp_path, 2))

    assert len(configuration.connectors) == 2
