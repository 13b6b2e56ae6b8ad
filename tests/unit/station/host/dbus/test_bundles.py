"""What is told of a bundle that RAUC has refused without a reason; real ones are in tests/image/test_rauc.py."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from station.host.dbus.bundles import why_refused

NOW = datetime.now(tz=UTC)
BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)
WRONG = "signature verification failed"


class Maker:
    """A root, a certificate that signs until `end`, and a list."""

    def __init__(self, end: datetime = NOW + timedelta(days=1)) -> None:
        self.root_key, self.key = (ec.generate_private_key(ec.SECP256R1()) for _each in range(2))
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Maker")])
        self.root = self._certificate(self.root_key, self.name, NOW + timedelta(days=3650))
        signer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Maker: updates")])
        self.certificate = self._certificate(self.key, signer, end)

    def _certificate(self, key: ec.EllipticCurvePrivateKey, subject: x509.Name, end: datetime) -> x509.Certificate:
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(self.name, subject, key.public_key(), serial, BEGINNING, end)
        return builder.sign(self.root_key, hashes.SHA256())

    def keyring(self, *revoked: x509.Certificate) -> bytes:
        builder = x509.CertificateRevocationListBuilder(self.name, BEGINNING, datetime(9999, 12, 31, tzinfo=UTC))
        for each in revoked:
            entry = x509.RevokedCertificateBuilder(each.serial_number, NOW).build()
            builder = builder.add_revoked_certificate(entry)
        made = builder.sign(self.root_key, hashes.SHA256())
        return self.root.public_bytes(serialization.Encoding.PEM) + made.public_bytes(serialization.Encoding.PEM)

    def bundle(self, place: Path) -> Path:
        builder = pkcs7.PKCS7SignatureBuilder().set_data(b"[update]")
        builder = builder.add_signer(self.certificate, self.key, hashes.SHA256())
        return of(place, builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary]))


def of(place: Path, signature: bytes) -> Path:
    place.write_bytes(b"hsqs" + bytes(4096) + signature + len(signature).to_bytes(8, "big"))
    return place


def why(directory: Path, maker: Maker, keyring: bytes) -> str:
    (directory / "maker.pem").write_bytes(keyring)
    return why_refused(maker.bundle(directory / "image"), directory / "maker.pem")


def test_a_certificate_that_the_list_names(tmp_path: Path) -> None:
    maker = Maker()

    assert why(tmp_path, maker, maker.keyring(maker.certificate)) == f"{WRONG}: certificate revoked"


def test_a_certificate_that_had_ended_when_it_signed(tmp_path: Path) -> None:
    maker = Maker(end=NOW - timedelta(days=1))

    assert why(tmp_path, maker, maker.keyring()) == f"{WRONG}: certificate has expired"


def test_of_a_certificate_that_is_right_something_else_is_wrong(tmp_path: Path) -> None:
    maker = Maker()

    assert why(tmp_path, maker, maker.keyring()) == WRONG
    assert why(tmp_path, maker, maker.root.public_bytes(serialization.Encoding.PEM)) == WRONG


def test_a_stranger_of_the_same_name_is_a_stranger(tmp_path: Path) -> None:
    maker, stranger = Maker(), Maker(end=NOW - timedelta(days=1))

    assert why(tmp_path, stranger, maker.keyring(stranger.certificate)) == WRONG


@pytest.mark.parametrize("signature", [b"\x30", bytes(500), bytes(70_000)])
def test_a_signature_that_is_none(tmp_path: Path, signature: bytes) -> None:
    (tmp_path / "maker.pem").write_bytes(Maker().keyring())

    assert why_refused(of(tmp_path / "image", signature), tmp_path / "maker.pem") == WRONG


@pytest.mark.parametrize("keyring", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_keyring_that_cannot_be_read(tmp_path: Path, keyring: bytes | None) -> None:
    if keyring is not None:
        (tmp_path / "maker.pem").write_bytes(keyring)

    assert why_refused(Maker().bundle(tmp_path / "image"), tmp_path / "maker.pem") == WRONG


def test_no_mutated_signature_breaks_the_reader(tmp_path: Path) -> None:
    maker = Maker()
    (tmp_path / "maker.pem").write_bytes(maker.keyring(maker.certificate))
    whole = maker.bundle(tmp_path / "image").read_bytes()

    for place in range(4100, len(whole) - 8, 7):
        for value in (0x00, 0x80, 0xFF):
            (tmp_path / "image").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            assert why_refused(tmp_path / "image", tmp_path / "maker.pem").startswith(WRONG)


@pytest.mark.parametrize("content", [b"", b"PK", b"hsqs" + bytes(100) + (5_000).to_bytes(8, "big")])
def test_what_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image").write_bytes(content)

    assert why_refused(tmp_path / "image", tmp_path / "maker.pem") == "this is no bundle"
    assert why_refused(tmp_path / "nothing", tmp_path / "maker.pem") == "this is no bundle"
