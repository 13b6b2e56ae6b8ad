"""What an attacker at the other end of the backend link tried on a started station (reviews/security.md)."""

import base64
import random
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.backend import Backend, ThreadedBackend
from tests.certificates import CertificateAuthority, server_context
from tests.images import with_checksum
from tests.process.test_transfers import web_server
from tests.station import Station

pytestmark = pytest.mark.process
MAINS = "/power/station/mainsMaxCurrent"
PAST = "2026-01-01T00:00:00.000Z"
LONG_S = 40.0
PASSWORD = "the attacker's own words 4711"
TAKEOVER = {
    "/WebUi/password/reset": PASSWORD,
    "/Security/enableRemoteVendorAccess": "true",
    "/ocpp/url": "ws://127.0.0.1:6379/",
}


def change(backend: ThreadedBackend, key: str, value: str) -> str:
    return str(backend.call("ChangeConfiguration", {"key": key, "value": value})["status"])


def test_a_station_as_delivered_cannot_be_taken_over_through_a_plain_link(tmp_path: Path) -> None:
    with Backend.threaded() as backend, Station.start(tmp_path, backend_url=backend.url) as station:
        backend.wait_for("BootNotification")

        assert {key: change(backend, key, value) for key, value in TAKEOVER.items()} == dict.fromkeys(
            TAKEOVER, "Rejected"
        )

        stored = dict(rows(station, "SELECT key, value FROM station_configurationvalue"))
        assert stored["/ocpp/url"] == backend.url
        assert "/Security/enableRemoteVendorAccess" not in stored
        refused = rows(station, "SELECT origin, reason FROM station_auditentry WHERE outcome = 'rejected'")
        assert refused == [("backend", "link_not_proven")] * len(TAKEOVER)
        assert PASSWORD not in station.log("ocpp")


def test_the_backend_of_a_checked_tls_link_may_do_the_same(tmp_path: Path) -> None:
    authority = CertificateAuthority.make(tmp_path)
    with (
        Backend.threaded(tls=server_context(authority.server())) as backend,
        Station.start(tmp_path, config={"/ocpp/url": backend.url, "/ocpp/caFile": str(authority.certificate)}),
    ):
        backend.wait_for("BootNotification")
        wanted = TAKEOVER | {"/ocpp/url": f"{backend.url}/elsewhere"}

        assert {key: change(backend, key, value) for key, value in wanted.items()} == dict.fromkeys(wanted, "Accepted")

        backend.wait_connected(at_least=2)


def test_an_address_that_leads_nowhere_is_taken_back_after_five_minutes_over_a_restart(tmp_path: Path) -> None:
    config = {"/ocpp/trustPlainLink": "true", "/ocpp/reconnectMaxS": "3"}
    with Backend.threaded() as backend, Station.start(tmp_path, backend_url=backend.url, config=config) as station:
        backend.wait_for("StatusNotification")
        mark = backend.mark()
        assert change(backend, "/ocpp/url", "ws://127.0.0.1:9/") == "Accepted"
        station.kill_group()
        with closing(sqlite3.connect(station.data / "station.sqlite3")) as database, database:
            # Nearly all of the five minutes have passed before the power went.
            database.execute("UPDATE station_backendstate SET trial_spent_ms = 299000")

        station.launch()

        backend.wait_for("StatusNotification", after=mark, timeout=LONG_S)
        assert value(backend, "/ocpp/url") == backend.url
        assert rows(station, "SELECT actor FROM station_auditentry WHERE actor = 'trial of the address'")


def test_a_backend_cannot_sign_its_own_software(tmp_path: Path) -> None:
    """It installs its own root of the manufacturer and signs 5,000 random bytes with a certificate below it."""
    content = random.Random(4711).randbytes(5_000)
    authority = CertificateAuthority.make(tmp_path)
    signer = authority.client("Signer")
    (served := tmp_path / "served").mkdir()
    (served / "image").write_bytes(content)
    with (
        web_server(served) as files,
        Backend.threaded() as backend,
        Station.start(tmp_path, backend_url=backend.url) as station,
    ):
        backend.wait_for("BootNotification")
        root = {"certificateType": "ManufacturerRootCertificate", "certificate": authority.pem}
        assert backend.call("InstallCertificate", root) == {"status": "Accepted"}
        firmware = {
            "location": files.url("image"),
            "retrieveDateTime": PAST,
            "signingCertificate": signer.pem.partition("-----END CERTIFICATE-----\n")[0]
            + "-----END CERTIFICATE-----\n",
            "signature": signature(signer.key, content),
        }

        assert backend.call("SignedUpdateFirmware", {"requestId": 1, "firmware": firmware}) == {"status": "Accepted"}

        told = "SignedFirmwareStatusNotification"
        backend.wait_for(told, where=lambda sent: sent["status"] == "InvalidSignature", timeout=LONG_S)
        assert [frame.payload["status"] for frame in backend.received(told)] == [
            "Downloading",
            "Downloaded",
            "InvalidSignature",
        ]
        backend.wait_for("SecurityEventNotification", where=lambda sent: sent["type"] == "InvalidFirmwareSignature")
        assert not rows(station, "SELECT 1 FROM station_filejob WHERE step = 'done'")


def test_a_name_that_is_not_utf_8_in_an_image_does_not_hang_its_job(tmp_path: Path) -> None:
    (served := tmp_path / "served").mkdir()
    header = bytearray(tarfile.TarInfo("manifest.json").tobuf(tarfile.USTAR_FORMAT))
    header[3:5] = b"\xff\xfe"
    (served / "image").write_bytes(with_checksum(bytes(header)) + bytes(10_240))
    with (
        web_server(served) as files,
        Backend.threaded() as backend,
        Station.start(tmp_path, backend_url=backend.url),
    ):
        backend.wait_for("BootNotification")

        backend.call("UpdateFirmware", {"location": files.url("image"), "retrieveDate": PAST})

        backend.wait_for(
            "FirmwareStatusNotification", where=lambda sent: sent["status"] == "InstallationFailed", timeout=LONG_S
        )


def test_the_backend_does_not_raise_the_installers_mains_limit(tmp_path: Path) -> None:
    with (
        Backend.threaded() as backend,
        Station.start(tmp_path, config={"/ocpp/url": backend.url, MAINS: "32000"}) as station,
    ):
        backend.wait_for("BootNotification")

        assert change(backend, MAINS, "63000") == "Rejected"
        assert rows(station, "SELECT data, reason FROM station_auditentry WHERE outcome = 'rejected'") == [
            (f'{{"{MAINS}": "63000"}}', "above_ceiling")
        ]
        told = backend.call("DataTransfer", {"vendorId": "Technagon GmbH", "data": f'{{"{MAINS}": 63000}}'})
        assert told["status"].startswith("Unknown")
        assert change(backend, MAINS, "20000") == "Accepted"

        mark = backend.mark()
        station.kill_group()
        station.launch()
        backend.wait_for("BootNotification", after=mark, timeout=LONG_S)
        assert value(backend, MAINS) == "20000"
        station.config_set({"/power/station/mainsCeiling": "16000"})
        assert value(backend, MAINS) == "16000"
        assert change(backend, MAINS, "20000") == "Rejected"


def value(backend: ThreadedBackend, key: str) -> str:
    """Ask once the station is there; a moment ago it may have been on its way to another address."""
    backend.wait_connected(timeout=LONG_S)
    return str(backend.call("GetConfiguration", {"key": [key]})["configurationKey"][0]["value"])


def signature(key: Path, content: bytes) -> str:
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    return base64.b64encode(private.sign(content, ec.ECDSA(hashes.SHA256()))).decode()


def rows(station: Station, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(station.data / "station.sqlite3")) as database:
        return database.execute(query).fetchall()
