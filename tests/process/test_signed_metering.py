"""A whole station with a calibrated meter: what it exports is what the key read over OCPP verifies."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from hardware.simulator.config import OCMF, PlayedDevices, hardware_config
from station.domain import ocmf
from tests.backend import Backend, ThreadedBackend
from tests.process.judgement import free_ports
from tests.station import WITHOUT_SAFE_MODE, Station, wait_until

pytestmark = pytest.mark.process

CARD = "04A2B3C4"
_COMMAND = ("signedrecords", "--data-dir")
CONFIG = {"/auth/identification": "any", "MeterValueSampleInterval": "0", "StopTxnSampledData": ""}


def _keys(backend: ThreadedBackend) -> list[str]:
    answer: dict[str, Any] = backend.call(
        "GetConfiguration", {"key": ["MeterPublicKey1", "/hw/connectors/1/meter/key"]}
    )
    return [each.get("value", "") for each in answer["configurationKey"]]


def _exported(station: Station, folder: Path) -> list[bytes]:
    done = station.manage(*_COMMAND, str(station.data), "session", "1", str(folder / "session.xml"))
    assert done.returncode == 0, done.stderr
    values = ET.parse(folder / "session.xml").getroot()  # noqa: S314 - our own
    assert [value.get("context") for value in values] == ["Transaction.Begin", "Transaction.End"]
    return [(value.findtext("signedData") or "").encode() for value in values]


def test_a_session_killed_while_its_end_is_signed_verifies_with_the_key_read_over_ocpp(tmp_path: Path) -> None:
    backend_port, http_port, sim_port = free_ports(3)
    folder = tmp_path / "station"
    folder.mkdir(mode=0o700)
    described = hardware_config(folder, 2, devices={1: PlayedDevices(meter=OCMF)})
    (folder / "hardware.json").write_text(json.dumps(described))
    with (
        Backend.threaded(port=backend_port) as backend,
        Station.start(
            tmp_path,
            config=CONFIG,
            backend_url=backend.url,
            http_port=http_port,
            sim_port=sim_port,
            environment=WITHOUT_SAFE_MODE,
        ) as station,
    ):
        backend.wait_for("StatusNotification", where=lambda sent: sent["connectorId"] == 1, timeout=60)
        wait_until(lambda: all(_keys(backend)), timeout_s=60)
        station.sim("/connectors/1/plug", {})
        station.sim("/reader/swipe", {"uid": CARD})
        station.wait_sim(lambda point: point["power_w"] > 0, timeout_s=60)

        station.sim("/connectors/1/signing", {"seconds": 8})
        station.sim("/reader/swipe", {"uid": CARD})
        station.wait_sim(lambda point: point["power_w"] == 0, timeout_s=30)
        station.kill("hardware")
        backend.wait_for("StopTransaction", timeout=90)

        records = _exported(station, tmp_path)
        first, second = _keys(backend)
        assert first == second
        assert ocmf.check_session(records, first) == ()
        assert station.manage(*_COMMAND, str(station.data), "check").returncode == 0
