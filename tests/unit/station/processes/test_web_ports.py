"""Which ports the web interface wants, and whose they are."""

from pathlib import Path

import pytest

from station.host.listeners import Holder
from station.paths import DataDirectory
from station.processes import web_ports
from station.processes.plan import Address

UNIT = Path(__file__).parents[4] / "deploy" / "station-web.service"
DELIVERED = [Address("0.0.0.0", 80), Address("0.0.0.0", 443), Address("127.0.0.1", 8700)]
CHANGED = """
[Service]
ExecStart=
ExecStart=/opt/station/.venv/bin/python manage.py runprocess web --http 0.0.0.0:8080 --https 0.0.0.0:8443
"""


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "system"
    folder.mkdir()
    monkeypatch.setattr(web_ports, "_UNIT_FOLDERS", (folder,))
    return folder


def test_before_the_first_start_the_unit_tells_the_ports(units: Path) -> None:
    installed, other = DataDirectory(Path("/var/lib/station")), DataDirectory(Path("/var/lib/station2"))
    assert web_ports.configured(installed) == []

    (units / UNIT.name).write_text(UNIT.read_text())
    assert web_ports.configured(installed) == DELIVERED
    assert web_ports.configured(other) == []

    (units / f"{UNIT.name}.d").mkdir()
    (units / f"{UNIT.name}.d" / "override.conf").write_text(CHANGED)
    assert web_ports.configured(installed) == [Address("0.0.0.0", 8080), Address("0.0.0.0", 8443)]


@pytest.mark.usefixtures("units")
def test_the_last_start_tells_them_better(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)
    data.run.mkdir()
    data.web_ports.write_text('["[::1]:8080", "127.0.0.1:9"]')
    assert web_ports.configured(data) == [Address("::1", 8080), Address("127.0.0.1", 9)]

    data.web_ports.write_text("[1, null]")
    assert web_ports.configured(data) == []


def test_only_a_process_of_this_very_directory_is_the_stations_own(tmp_path: Path) -> None:
    data = DataDirectory(tmp_path)

    def holder(title: str) -> Holder:
        return Holder(user="station", uid=tmp_path.stat().st_uid, pid=4711, program="python", title=title)

    assert web_ports.is_own(data, holder(f"station: web {tmp_path}"))
    assert not web_ports.is_own(data, holder(f"station: web {tmp_path}/other"))
    assert not web_ports.is_own(data, holder("nginx: master process"))
    # Its process may not be looked into, and nobody works in this directory.
    assert not web_ports.is_own(data, Holder(user="station", uid=tmp_path.stat().st_uid))
