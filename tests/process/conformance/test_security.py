"""The security extension: triggers, certificates, keys and profiles."""

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from tests.certificates import CertificateAuthority, server_context
from tests.process.conformance.bench import KEY, ConformanceBench, Payload, number, section

NEW_KEY = "another-conformance-key"


def password(bench: ConformanceBench) -> bytes:
    header = bench.backend.wait_connected().headers["authorization"]
    return base64.b64decode(header.partition(" ")[2]).partition(b":")[2]


# --- ExtendedTriggerMessage


@section("W 5.5", "W E.ExtendedTriggerMessage")
@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("Heartbeat", "Heartbeat"),
        ("StatusNotification", "StatusNotification"),
        ("MeterValues", "MeterValues"),
        ("LogStatusNotification", "LogStatusNotification"),
        ("FirmwareStatusNotification", "SignedFirmwareStatusNotification"),
        ("SignChargePointCertificate", "SignCertificate"),
    ],
)
def test_an_extended_trigger_is_answered_first_and_then_followed(
    bench: ConformanceBench, wanted: str, message: str
) -> None:
    mark = bench.mark()

    assert bench.status_of("ExtendedTriggerMessage", requestedMessage=wanted) == "Accepted"

    bench.wait_for(message, after=mark)
    sent = [frame for frame in bench.backend.frames[mark:] if frame.from_station]
    assert [sent[0].kind, sent[1].action] == ["result", message]


@section("W 5.5")
def test_an_extended_trigger_of_the_boot_is_rejected_once_accepted(bench: ConformanceBench) -> None:
    if bench.status_of("ExtendedTriggerMessage", requestedMessage="BootNotification") == "Accepted":
        # None had gone over this connection yet, which came after a cut of the network.
        bench.wait_for("BootNotification")

    assert bench.status_of("ExtendedTriggerMessage", requestedMessage="BootNotification") == "Rejected"


# --- certificates


@pytest.fixture
def authority(tmp_path: Path) -> CertificateAuthority:
    return CertificateAuthority.make(tmp_path, f"ca{number()}")


@section("W M05", "W M03", "W M04")
@pytest.mark.parametrize("kind", ["CentralSystemRootCertificate", "ManufacturerRootCertificate"])
def test_a_root_certificate_is_installed_named_and_deleted(
    bench: ConformanceBench, authority: CertificateAuthority, kind: str
) -> None:
    before = bench.call("GetInstalledCertificateIds", certificateType=kind).get("certificateHashData", [])
    assert bench.call("InstallCertificate", certificateType=kind, certificate=authority.pem) == {"status": "Accepted"}

    found = bench.call("GetInstalledCertificateIds", certificateType=kind)
    (hashes,) = [one for one in found["certificateHashData"] if one not in before]
    assert hashes["hashAlgorithm"] in {"SHA256", "SHA384", "SHA512"}

    assert bench.call("DeleteCertificate", certificateHashData=hashes) == {"status": "Accepted"}
    assert bench.call("DeleteCertificate", certificateHashData=hashes) == {"status": "NotFound"}


@section("W M03")
def test_without_a_certificate_of_the_kind_none_is_found(bench: ConformanceBench) -> None:
    answer = bench.call("GetInstalledCertificateIds", certificateType="CentralSystemRootCertificate")

    assert answer == {"status": "NotFound"}


@section("W M05")
@pytest.mark.parametrize("text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_what_is_no_certificate_is_rejected(bench: ConformanceBench, text: str) -> None:
    answer = bench.status_of("InstallCertificate", certificateType="CentralSystemRootCertificate", certificate=text)

    assert answer == "Rejected"


@section("W M04")
def test_an_unknown_certificate_cannot_be_deleted(bench: ConformanceBench) -> None:
    hashes = {"hashAlgorithm": "SHA256", "issuerNameHash": "00", "issuerKeyHash": "00", "serialNumber": "1"}

    assert bench.status_of("DeleteCertificate", certificateHashData=hashes) == "NotFound"


def signing_request(bench: ConformanceBench) -> str:
    mark = bench.mark()
    bench.call("ExtendedTriggerMessage", requestedMessage="SignChargePointCertificate")
    return str(bench.wait_for("SignCertificate", after=mark)["csr"])


@section("W A02", "W A03")
def test_the_signing_request_names_the_station_and_the_operator(bench: ConformanceBench) -> None:
    bench.configure(CpoName="Charging Ltd")

    request = x509.load_pem_x509_csr(signing_request(bench).encode())

    assert request.is_signature_valid
    names = {attribute.oid: attribute.value for attribute in request.subject}
    assert names[x509.NameOID.ORGANIZATION_NAME] == "Charging Ltd"
    assert names[x509.NameOID.COMMON_NAME]


@section("W A02.FR.06", "W A02.FR.07")
def test_a_certificate_that_does_not_fit_the_request_is_rejected(
    bench: ConformanceBench, authority: CertificateAuthority
) -> None:
    bench.call("InstallCertificate", certificateType="CentralSystemRootCertificate", certificate=authority.pem)
    signing_request(bench)

    assert bench.status_of("CertificateSigned", certificateChain="nonsense") == "Rejected"
    assert bench.status_of("CertificateSigned", certificateChain=authority.client("other").pem) == "Rejected"

    (hashes,) = bench.call("GetInstalledCertificateIds", certificateType="CentralSystemRootCertificate")[
        "certificateHashData"
    ]
    bench.call("DeleteCertificate", certificateHashData=hashes)


# --- keys


@section("W A01", "S 9.1 AuthorizationKey")
def test_a_new_key_is_used_at_once_in_a_new_connection(bench: ConformanceBench) -> None:
    connects = bench.backend.connects
    try:
        assert bench.status_of("ChangeConfiguration", key="AuthorizationKey", value=NEW_KEY) == "Accepted"
        bench.backend.wait_connected(at_least=connects + 1)
        assert password(bench) == NEW_KEY.encode()
        bench.settle()
    finally:
        connects = bench.backend.connects
        bench.call("ChangeConfiguration", key="AuthorizationKey", value=KEY)
        bench.backend.wait_connected(at_least=connects + 1)


@section("W A01", "W A01.FR.11")
def test_a_key_of_hexadecimal_digits_is_sent_as_the_bytes_it_stands_for(bench: ConformanceBench) -> None:
    connects = bench.backend.connects
    try:
        assert bench.status_of("ChangeConfiguration", key="AuthorizationKey", value="AA" * 16 + "01FF") == "Accepted"
        bench.backend.wait_connected(at_least=connects + 1)
        assert password(bench) == b"\xaa" * 16 + b"\x01\xff"
        bench.settle()
    finally:
        connects = bench.backend.connects
        bench.call("ChangeConfiguration", key="AuthorizationKey", value=KEY)
        bench.backend.wait_connected(at_least=connects + 1)


@section("W A01")
def test_a_key_the_backend_has_not_stored_leads_back_to_the_old_one(bench: ConformanceBench) -> None:
    identity = bench.backend.wait_connected().station
    connects = bench.backend.connects
    bench.backend.backend.basic_auth = (identity, KEY.encode())
    try:
        bench.call("ChangeConfiguration", key="AuthorizationKey", value=NEW_KEY)
        bench.backend.wait_until(lambda backend: backend.refused_handshakes)
        bench.backend.wait_connected(at_least=connects + 1, timeout=15)
        assert password(bench) == KEY.encode()
    finally:
        bench.backend.backend.basic_auth = None
        connects = bench.backend.connects
        bench.call("ChangeConfiguration", key="AuthorizationKey", value=KEY)
        time.sleep(0.5)
        bench.backend.wait_connected(timeout=15)


@section("W A01")
@pytest.mark.parametrize("key", ["", "short", "x" * 41, "fifteen-letters"])
def test_a_key_of_an_impossible_length_is_rejected(bench: ConformanceBench, key: str) -> None:
    assert bench.status_of("ChangeConfiguration", key="AuthorizationKey", value=key) == "Rejected"


@section("W A01.FR.12")
def test_the_key_stands_in_no_log(bench: ConformanceBench) -> None:
    logs = [path for path in (bench.station.data / "logs").rglob("*") if path.is_file()]

    assert logs
    assert not [path.name for path in logs if KEY.encode() in path.read_bytes()]


@section("W A05")
@pytest.mark.parametrize("profile", ["2", "3"])
def test_a_higher_profile_without_what_it_needs_is_rejected(bench: ConformanceBench, profile: str) -> None:
    assert bench.status_of("ChangeConfiguration", key="SecurityProfile", value=profile) == "Rejected"
    assert bench.value("SecurityProfile") == "1"


@section("W A04", "W 5.9")
def test_a_restart_is_told_as_a_security_event(bench: ConformanceBench) -> None:
    mark = bench.mark()
    bench.call("Reset", type="Soft")
    bench.wait_for("BootNotification", after=mark, timeout=20)

    event = bench.backend.wait_for(
        "SecurityEventNotification",
        where=lambda sent: sent["type"] in {"StartupOfTheDevice", "ResetOrReboot"},
        after=mark,
        timeout=10,
    ).payload

    assert event["timestamp"].endswith("Z")
    bench.station.wait_healthy()


# --- TLS, over a connection of its own


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority.make(tmp_path_factory.mktemp("roots"))


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory, roots: CertificateAuthority) -> Iterator[ConformanceBench]:
    directory = tmp_path_factory.mktemp("secure")
    (directory / "ca.pem").write_text(roots.pem)
    config: dict[str, Any] = {
        "AuthorizationKey": KEY,
        "/ocpp/caFile": str(directory / "ca.pem"),
        "SecurityProfile": "2",
    }
    with ConformanceBench.open(directory, config=config, tls=server_context(roots.server())) as bench:
        bench.begin()
        yield bench


@section("W A00 profile 2")
def test_profile_2_is_basic_authentication_over_tls(secure: ConformanceBench) -> None:
    connection = secure.backend.wait_connected()

    assert secure.backend.url.startswith("wss://")
    assert password(secure) == KEY.encode()
    assert connection.link.socket.transport.get_extra_info("ssl_object").version() in {"TLSv1.2", "TLSv1.3"}


@section("W A05.FR.02")
@pytest.mark.parametrize("lower", ["0", "1", "2"])
def test_the_profile_never_goes_down_over_ocpp(secure: ConformanceBench, lower: str) -> None:
    assert secure.status_of("ChangeConfiguration", key="SecurityProfile", value=lower) == "Rejected"


@section("W A02", "W A05", "W A00 profile 3")
def test_with_a_signed_certificate_the_station_goes_up_to_profile_3(
    secure: ConformanceBench, roots: CertificateAuthority
) -> None:
    csr = signing_request(secure)
    chain = roots.sign_request(csr)
    install: Payload = {"certificateType": "CentralSystemRootCertificate", "certificate": roots.pem}
    secure.call("InstallCertificate", **install)
    assert secure.status_of("CertificateSigned", certificateChain=chain) == "Accepted"
    connects = secure.backend.connects
    assert secure.status_of("ChangeConfiguration", key="SecurityProfile", value="3") == "Accepted"
    secure.backend.stop_listening()
    secure.backend.backend.tls = server_context(roots.server(), client_authority=roots)
    secure.backend.listen()

    secure.backend.wait_connected(at_least=connects + 1, timeout=15)
    connection = secure.backend.wait_until(lambda backend: backend.connections[-1].client_certificate)
    secure.settle()

    assert connection
    assert "authorization" not in secure.backend.wait_connected().headers
    assert secure.value("SecurityProfile") == "3"
    assert not secure.backend.schema_errors
