"""stationctl reads station.env as systemd does: a value may hold blanks, and nothing in it is a command."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "deploy/stationctl"


def read(tmp_path: Path, text: str) -> dict[str, str]:
    """Return what the script hands over, with `env` in the place of manage.py."""
    (tmp_path / "station.env").write_text(text)
    script = SCRIPT.read_text().replace("/etc/station/station.env", str(tmp_path / "station.env"))
    before = script[: script.index("\nexec setpriv")].replace("cd /opt/station", f"cd {tmp_path}")
    before = before.replace('"$(id -u)"', "0")
    done = subprocess.run(
        ["sh", "-c", f"{before}\nenv"], capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]}
    )
    assert done.stderr == ""
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("STATION_LAN_INTERFACES=eth0 eth1", "eth0 eth1"),
        ('STATION_LAN_INTERFACES="eth0 eth1"', "eth0 eth1"),
        ("STATION_LAN_INTERFACES='eth0'", "eth0"),
        ("STATION_LAN_INTERFACES=tel:+49 (0) 123", "tel:+49 (0) 123"),
        ("STATION_LAN_INTERFACES=$(touch written) `touch written` x; touch written", None),
        ("STATION_LAN_INTERFACES=a=b", "a=b"),
        ("STATION_LAN_INTERFACES=", ""),
    ],
)
def test_a_value_is_taken_as_it_stands(tmp_path: Path, line: str, value: str | None) -> None:
    found = read(tmp_path, f"# a comment\n\n{line}")

    assert found["STATION_LAN_INTERFACES"] == (line.partition("=")[2] if value is None else value)
    assert not (tmp_path / "written").exists()


def test_what_is_no_setting_is_passed_over(tmp_path: Path) -> None:
    found = read(tmp_path, "# STATION_A=1\nlower=1\nWITH-DASH=1\nnothing\nSTATION_B=2\n")

    assert found["STATION_B"] == "2"
    assert not {"STATION_A", "lower", "WITH-DASH"} & set(found)


def test_the_data_directory_is_the_stations_whatever_the_file_says(tmp_path: Path) -> None:
    assert read(tmp_path, "STATION_DATA_DIR=/tmp/other\n")["STATION_DATA_DIR"] == "/var/lib/station"
