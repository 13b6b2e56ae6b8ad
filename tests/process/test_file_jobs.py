"""Firmware and diagnostics on the started product: a backend asks, real servers serve, processes die."""

import signal
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend import Backend, ThreadedBackend
from tests.images import Maker
from tests.process.test_transfers import LOGIN, Server, ftp_server, web_server
from tests.station import Station, wait_until

pytestmark = pytest.mark.process

STATUS = "FirmwareStatusNotification"
PAST = "2026-01-01T00:00:00.000Z"
LONG_S = 40.0


@pytest.fixture
def backend() -> Iterator[ThreadedBackend]:
    with Backend.threaded() as backend:
        yield backend


@pytest.fixture
def station(tmp_path: Path, backend: ThreadedBackend) -> Iterator[Station]:
    with Station.start(tmp_path, config={"/ocpp/url": backend.url, "/identity/serial": "4711"}) as running:
        backend.wait_for("BootNotification", timeout=LONG_S)
        yield running


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "served"
    root.mkdir()
    with web_server(root) as server:
        yield server


@pytest.fixture
def maker(station: Station) -> Maker:
    """A maker whose key this simulated station trusts."""
    maker = Maker()
    (station.data / "sim" / "update_key.pem").write_bytes(maker.key.pem)
    return maker


def statuses(backend: ThreadedBackend, action: str = STATUS) -> list[str]:
    return [frame.payload["status"] for frame in backend.received(action)]


def wait_statuses(backend: ThreadedBackend, wanted: list[str], action: str = STATUS) -> None:
    wait_until(lambda: statuses(backend, action)[-1:] == wanted[-1:], timeout_s=LONG_S, what=f"{wanted}")
    assert statuses(backend, action) == wanted


def test_new_software_runs_after_the_restart_and_the_backend_hears_of_it_once(station, backend, files, maker):
    maker.image(files.root / "image")
    mark = backend.mark()

    assert backend.call("UpdateFirmware", {"location": files.url("image"), "retrieveDate": PAST}) == {}

    wait_statuses(backend, ["Downloading", "Downloaded", "Installing", "Installed"])
    boots = backend.received("BootNotification", after=mark)
    assert [frame.payload["firmwareVersion"] for frame in boots] == ["9.1.0"]
    backend.wait_for("SecurityEventNotification", where=lambda payload: payload["type"] == "FirmwareUpdated")
    wait_until(lambda: connector_statuses(backend).get(1) == "Available", what="the points given back")
    assert not backend.schema_errors


def connector_statuses(backend: ThreadedBackend) -> dict[int, str]:
    frames = backend.received("StatusNotification")
    return {frame.payload["connectorId"]: frame.payload["status"] for frame in frames}


def test_a_bad_image_fails_and_gives_the_points_back(station, backend, files, maker):
    maker.image(files.root / "image", product="toaster")

    backend.call("UpdateFirmware", {"location": files.url("image"), "retrieveDate": PAST})

    wait_statuses(backend, ["Downloading", "Downloaded", "Installing", "InstallationFailed"])
    assert connector_statuses(backend)[1] == "Available"


def test_an_update_survives_the_death_of_everything_while_it_waits_for_a_retry(station, backend, files, maker):
    request = {"location": files.url("image"), "retrieveDate": PAST, "retries": 20, "retryInterval": 2}
    backend.call("UpdateFirmware", request)
    backend.wait_for(STATUS, timeout=LONG_S)
    wait_until(lambda: len(files.seen) >= 1, what="the first try")

    station.kill_all()
    maker.image(files.root / "image")
    station.launch()

    wait_until(lambda: "Installed" in statuses(backend), timeout_s=LONG_S, what="Installed")


def test_diagnostics_reach_an_ftp_server_though_the_worker_dies(station, backend, tmp_path):
    root = tmp_path / "ftp"
    root.mkdir()
    station.kill("worker", signal.SIGKILL)
    with ftp_server(root) as server:
        answer = backend.call("GetDiagnostics", {"location": f"ftp://{LOGIN}localhost:{server.port}/logs/"})

        assert answer == {"fileName": "4711.tar.gz"}
        wait_statuses(backend, ["Uploading", "Uploaded"], "DiagnosticsStatusNotification")
    with tarfile.open(root / "logs" / "4711.tar.gz") as archive:
        names = archive.getnames()
    assert {"versions.json", "configuration.txt", "events.jsonl"} <= set(names)
    assert any(name.startswith("logs/") for name in names)
