"""What a browser gets from the encrypted listener: in memory, without a socket."""

import logging
import ssl
from contextlib import suppress

import pytest
from cryptography.x509 import load_der_x509_certificate
from OpenSSL import SSL

from station.host.web_certificate import Pair
from station.paths import DataDirectory
from station.processes.tls import PresentCertificate
from tests.unit.station.processes.test_certificate import made, make_certificate


def shaken_hands(factory: PresentCertificate, context: ssl.SSLContext | None = None) -> ssl.SSLObject:
    """Let a client of Python's ssl talk to the server until both are content."""
    if context is None:
        context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server)
    server = SSL.Connection(factory.getContext(), None)
    server.set_accept_state()
    for _round in range(10):
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        else:
            return client
        server.bio_write(to_server.read())
        with suppress(SSL.WantReadError):
            server.do_handshake()
        to_client.write(server.bio_read(65536))
    raise AssertionError("no end of the handshake")


def shown(factory: PresentCertificate) -> bytes:
    return shaken_hands(factory).getpeercert(binary_form=True) or b""


def test_a_renewed_certificate_is_shown_without_a_restart(data: DataDirectory) -> None:
    first = made(data)
    factory = PresentCertificate(data)
    assert load_der_x509_certificate(shown(factory)) == first

    own = make_certificate(Pair.own(data), days=90)

    assert load_der_x509_certificate(shown(factory)) == own


def test_while_the_files_are_being_replaced_the_last_certificate_is_shown(
    data: DataDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    first = made(data)
    factory = PresentCertificate(data)
    pair = Pair.of(data)
    key = pair.key.read_bytes()
    pair.key.write_bytes(b"")

    with caplog.at_level(logging.WARNING):
        assert load_der_x509_certificate(shown(factory)) == first
    assert "cannot be read" in caplog.text

    pair.key.write_bytes(key)
    assert load_der_x509_certificate(shown(factory)) == first


@pytest.mark.parametrize(
    "suites", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256", "AES128-SHA", "DHE+AESGCM"]
)
def test_no_suite_without_authenticated_encryption_or_forward_secrecy_is_offered(
    suites: str, data: DataDirectory
) -> None:
    made(data)
    client = ssl.create_default_context()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(suites)

    with pytest.raises((SSL.Error, ssl.SSLError)):
        shaken_hands(PresentCertificate(data), client)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nothing_below_tls_1_2_is_spoken(data: DataDirectory) -> None:
    made(data)
    client = ssl.create_default_context()
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version, client.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1

    with pytest.raises((SSL.Error, ssl.SSLError)):
        shaken_hands(PresentCertificate(data), client)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_browsers_of_today_find_a_suite(version: ssl.TLSVersion, data: DataDirectory) -> None:
    made(data)
    client = ssl.create_default_context()
    client.minimum_version = client.maximum_version = version

    cipher = shaken_hands(PresentCertificate(data), client).cipher()

    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
