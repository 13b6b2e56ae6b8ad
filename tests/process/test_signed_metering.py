"""A whole station with a calibrated meter: what it exports is what the key read over OCPP verifies."""

import json
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pyocmf
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


def _exported(station: Station, file: Path) -> list[bytes]:
    done = station.manage(*_COMMAND, str(station.data), "session", "1", str(file))
    assert done.returncode == 0, done.stderr
    values = ET.parse(file).getroot()  # noqa: S314 - our own
    assert [value.get("context") for value in values] == ["Transaction.Begin", "Transaction.End"]
    return [(value.findtext("signedData") or "").encode() for value in values]


def _openssl_verifies(raw: bytes, key: str, folder: Path) -> bool:
    """Ask a program that knows nothing of OCMF: the payload as it stands, its signature, and the key."""
    _, payload, section = raw.split(b"|")
    for name, content in (
        ("payload", payload),
        ("signature", bytes.fromhex(json.loads(section)["SD"])),
        ("key", bytes.fromhex(key)),
    ):
        (folder / name).write_bytes(content)
    command = ("openssl", "dgst", "-sha256", "-verify", "key", "-keyform", "DER", "-signature", "signature", "payload")
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


@contextmanager
def _charging(tmp_path: Path) -> Iterator[tuple[ThreadedBackend, Station]]:
    """Run a station whose first charging point has a calibrated meter, and charge there."""
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
        yield backend, station


def test_a_session_killed_while_its_end_is_signed_verifies_with_the_key_read_over_ocpp(tmp_path: Path) -> None:
    with _charging(tmp_path) as (backend, station):
        station.sim("/connectors/1/signing", {"seconds": 8})
        station.sim("/reader/swipe", {"uid": CARD})
        station.wait_sim(lambda point: point["power_w"] == 0, timeout_s=30)
        station.kill("hardware")
        backend.wait_for("StopTransaction", timeout=90)

        file = tmp_path / "session.xml"
        records = _exported(station, file)
        key, same_key = _keys(backend)
        assert key == same_key
        assert ocmf.check_session(records, key) == ()
        assert all(pyocmf.OCMF.from_string(raw.decode()).verify_signature(key) for raw in records)
        results = pyocmf.OcmfContainer.from_xml(file).check_eichrecht(errors_only=True)
        assert [result.issues for result in results] == [[]]
        assert all(_openssl_verifies(raw, key, tmp_path) for raw in records)
        assert not _openssl_verifies(records[0].replace(b'"RV":', b'"RV":9'), key, tmp_path)
        assert station.manage(*_COMMAND, str(station.data), "check").returncode == 0


def test_a_transaction_whose_database_was_destroyed_is_ended_with_its_signed_end(tmp_path: Path) -> None:
    with _charging(tmp_path) as (backend, station):
        archive, database = station.data / "signed_records.sqlite3", station.data / "station.sqlite3"
        # What the backend has answered is archived before it counts.
        wait_until(lambda: b'"transaction"' in archive.read_bytes(), timeout_s=60)
        (began,) = backend.received("StartTransaction")
        station.kill_group()
        # The car drives away while the station is dark.
        database.write_bytes(random.Random(1).randbytes(database.stat().st_size))
        mark = backend.mark()

        station.launch()
        station.config_set({**CONFIG, "/ocpp/url": backend.url})
        told = backend.wait_for(
            "StatusNotification", where=lambda sent: sent.get("vendorErrorCode") == "DatabaseReplaced", timeout=60
        )
        assert (told.payload["connectorId"], told.payload["status"]) == (0, "Available")
        ended = backend.wait_for("StopTransaction", after=mark, timeout=90).payload
        contexts = [
            sampled["context"]
            for value in ended["transactionData"]
            for sampled in value["sampledValue"]
            if sampled["format"] == "SignedData"
        ]
        assert contexts == ["Transaction.Begin", "Transaction.End"]
        assert ended["meterStop"] >= began.payload["meterStart"]
        assert backend.received("StartTransaction", after=mark) == []
        records = _exported(station, tmp_path / "session.xml")
        wait_until(lambda: all(_keys(backend)), timeout_s=60)
        assert ocmf.check_session(records, _keys(backend)[0]) == ()
