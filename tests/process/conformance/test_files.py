"""Firmware, diagnostics and logs against real servers on this machine."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.process.conformance.bench import ConformanceBench, moment, number, section
from tests.process.test_transfers import LOGIN, Server, ftp_server, web_server
from tests.station import wait_until

NOWHERE = "http://127.0.0.1:22999/"


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "ftp"
    root.mkdir()
    with ftp_server(root) as server:
        yield server


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "web"
    root.mkdir()
    with web_server(root) as server:
        yield server


def place(server: Server) -> str:
    return f"ftp://{LOGIN}localhost:{server.port}/"


def statuses(bench: ConformanceBench, action: str) -> list[str]:
    return [str(one["status"]) for one in bench.received(action)]


def wait_for(bench: ConformanceBench, action: str, status: str, **more: Any) -> None:
    bench.wait_for(action, status=status, timeout=20, **more)


def tried(bench: ConformanceBench, action: str, told: list[str]) -> None:
    wait_until(lambda: len(statuses(bench, action)) >= len(told), timeout_s=20)
    bench.settle()
    assert statuses(bench, action) == told


# --- diagnostics


@section("S 5.9", "S 4.4", "S 7.24")
def test_diagnostics_are_uploaded_and_told(bench: ConformanceBench, ftp: Server) -> None:
    answer = bench.call("GetDiagnostics", location=place(ftp))
    wait_for(bench, "DiagnosticsStatusNotification", "Uploaded")

    assert answer["fileName"].endswith(".tar.gz")
    assert statuses(bench, "DiagnosticsStatusNotification") == ["Uploading", "Uploaded"]
    with tarfile.open(ftp.root / answer["fileName"]) as archive:
        assert archive.getnames()


@section("S 5.9", "S 4.4")
def test_diagnostics_that_cannot_be_uploaded_are_told_as_failed(bench: ConformanceBench) -> None:
    bench.call("GetDiagnostics", location="ftp://127.0.0.1:22999/", retries=0, retryInterval=1)

    wait_for(bench, "DiagnosticsStatusNotification", "UploadFailed")

    assert statuses(bench, "DiagnosticsStatusNotification")[0] == "Uploading"


@section("S 5.9", "S 4.4")
def test_every_try_of_an_upload_is_told(bench: ConformanceBench) -> None:
    bench.call("GetDiagnostics", location="ftp://127.0.0.1:22999/", retries=2, retryInterval=1)

    tried(bench, "DiagnosticsStatusNotification", ["Uploading", "UploadFailed"] * 3)


@section("S 5.9")
def test_without_anything_in_the_window_there_is_no_file_name(bench: ConformanceBench) -> None:
    answer = bench.call("GetDiagnostics", location="ftp://127.0.0.1:22999/", startTime=moment(3600))

    assert answer == {}


@section("S 5.9")
def test_a_place_of_an_unknown_protocol_leads_to_upload_failed(bench: ConformanceBench) -> None:
    bench.call("GetDiagnostics", location="gopher://127.0.0.1/")

    wait_for(bench, "DiagnosticsStatusNotification", "UploadFailed")


@section("S 5.17", "S 4.4")
def test_afterwards_the_trigger_tells_the_last_status(bench: ConformanceBench, ftp: Server) -> None:
    bench.call("GetDiagnostics", location=place(ftp))
    wait_for(bench, "DiagnosticsStatusNotification", "Uploaded")
    mark = bench.mark()

    bench.call("TriggerMessage", requestedMessage="DiagnosticsStatusNotification")

    sent = bench.wait_for("DiagnosticsStatusNotification", after=mark)
    assert sent["status"] in {"Idle", "Uploaded"}


@section("S 5.9", "W A01.FR.12")
def test_the_archive_holds_no_secret(bench: ConformanceBench, ftp: Server) -> None:
    from tests.process.conformance.bench import KEY

    answer = bench.call("GetDiagnostics", location=place(ftp))
    wait_for(bench, "DiagnosticsStatusNotification", "Uploaded")

    with tarfile.open(ftp.root / answer["fileName"]) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            assert file is None or KEY.encode() not in file.read(), member.name


# --- firmware


@section("S 5.20", "S 4.5", "S 7.25")
def test_firmware_that_cannot_be_fetched_is_told_as_download_failed(bench: ConformanceBench) -> None:
    assert bench.call("UpdateFirmware", location=f"{NOWHERE}x", retrieveDate=moment(), retries=0) == {}

    wait_for(bench, "FirmwareStatusNotification", "DownloadFailed")

    assert statuses(bench, "FirmwareStatusNotification") == ["Downloading", "DownloadFailed"]


@section("S 5.20", "S 4.5")
def test_an_image_that_is_none_is_told_as_installation_failed_and_the_station_charges_on(
    bench: ConformanceBench, web: Server
) -> None:
    (web.root / "image").write_bytes(b"no software")
    bench.call("UpdateFirmware", location=web.url("image"), retrieveDate=moment())

    wait_for(bench, "FirmwareStatusNotification", "InstallationFailed")

    told = statuses(bench, "FirmwareStatusNotification")
    assert told[:2] == ["Downloading", "Downloaded"]
    bench.charge()


@section("S 5.20")
def test_an_update_waits_for_its_retrieve_date(bench: ConformanceBench, web: Server) -> None:
    (web.root / "image").write_bytes(b"no software")
    bench.call("UpdateFirmware", location=web.url("image"), retrieveDate=moment(3))
    bench.settle()
    assert not statuses(bench, "FirmwareStatusNotification")

    wait_for(bench, "FirmwareStatusNotification", "InstallationFailed")


@section("S 5.20", "S 4.5")
def test_every_try_of_a_download_is_told(bench: ConformanceBench) -> None:
    bench.call("UpdateFirmware", location=f"{NOWHERE}x", retrieveDate=moment(), retries=2, retryInterval=1)

    tried(bench, "FirmwareStatusNotification", ["Downloading", "DownloadFailed"] * 3)


@section("S 5.20", "S 4.5")
def test_retries_are_made_in_their_interval(bench: ConformanceBench, web: Server) -> None:
    bench.call("UpdateFirmware", location=web.url("late"), retrieveDate=moment(), retries=5, retryInterval=1)
    wait_for(bench, "FirmwareStatusNotification", "Downloading")
    (web.root / "late").write_bytes(b"no software")

    wait_for(bench, "FirmwareStatusNotification", "Downloaded")
    wait_for(bench, "FirmwareStatusNotification", "InstallationFailed")


# --- logs of the security extension


@section("W N01", "W 4.4")
@pytest.mark.parametrize("kind", ["DiagnosticsLog", "SecurityLog"])
def test_a_log_is_uploaded_and_told_with_its_request_id(bench: ConformanceBench, ftp: Server, kind: str) -> None:
    request = number()
    answer = bench.call("GetLog", logType=kind, requestId=request, log={"remoteLocation": place(ftp)})
    assert answer["status"] == "Accepted"

    wait_for(bench, "LogStatusNotification", "Uploaded", requestId=request)

    assert statuses(bench, "LogStatusNotification") == ["Uploading", "Uploaded"]
    assert (ftp.root / answer["filename"]).exists()


@section("W N01.FR.10")
def test_a_log_that_cannot_be_uploaded_is_told_as_failed(bench: ConformanceBench) -> None:
    request = number()
    bench.call(
        "GetLog",
        logType="SecurityLog",
        requestId=request,
        retries=0,
        log={"remoteLocation": "ftp://127.0.0.1:22999/"},
    )

    wait_for(bench, "LogStatusNotification", "UploadFailure", requestId=request)


@section("W N01.FR.12")
def test_a_second_request_for_a_log_cancels_the_first(bench: ConformanceBench, ftp: Server) -> None:
    first, second = number(), number()
    bench.call(
        "GetLog",
        logType="SecurityLog",
        requestId=first,
        retries=9,
        retryInterval=60,
        log={"remoteLocation": "ftp://127.0.0.1:22999/"},
    )
    wait_for(bench, "LogStatusNotification", "Uploading", requestId=first)

    answer = bench.call("GetLog", logType="SecurityLog", requestId=second, log={"remoteLocation": place(ftp)})

    assert answer["status"] == "AcceptedCanceled"
    wait_for(bench, "LogStatusNotification", "Uploaded", requestId=second)


@section("W L01")
def test_signed_firmware_with_a_strange_certificate_is_refused(bench: ConformanceBench) -> None:
    firmware = {
        "location": f"{NOWHERE}x",
        "retrieveDateTime": moment(),
        "signingCertificate": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        "signature": "AAAA",
    }

    answer = bench.call("SignedUpdateFirmware", requestId=number(), firmware=firmware)

    assert answer == {"status": "InvalidCertificate"}
