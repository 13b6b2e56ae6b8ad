from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from station.host.addresses import SERVICE_ADDRESS
from station.host.web_certificate import Pair, names_in
from station.paths import DataDirectory
from station.processes.certificate import ensure

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def made(data: DataDirectory, *, at: datetime = NOW, addresses: tuple[str, ...] = ("10.0.0.7",)):
    certificate = ensure(data, identity="TE 100/7", addresses=addresses, at=at).load()
    assert certificate is not None
    return certificate


def test_the_certificate_names_every_way_to_the_station(data: DataDirectory) -> None:
    assert {"localhost", "127.0.0.1", SERVICE_ADDRESS, "10.0.0.7", "te-100-7.local"} <= names_in(made(data))


def test_the_key_is_nobody_elses_business(data: DataDirectory) -> None:
    made(data)

    assert Pair.of(data).key.stat().st_mode & 0o077 == 0


def test_a_good_certificate_is_kept(data: DataDirectory) -> None:
    assert made(data).serial_number == made(data, at=NOW + timedelta(days=300)).serial_number


def test_it_stays_the_same_for_the_life_of_the_station_whatever_the_clock_or_the_addresses(data: DataDirectory) -> None:
    first = made(data, at=datetime(1970, 1, 2, tzinfo=UTC))

    for at in (NOW, datetime(1999, 1, 1, tzinfo=UTC), datetime(2106, 2, 7, tzinfo=UTC)):
        assert made(data, at=at, addresses=("10.0.0.8", "fd00::1")) == first
    assert first.not_valid_before_utc < NOW < first.not_valid_after_utc
    assert first.not_valid_after_utc.year >= 2049


def test_apples_limit_of_825_days_does_not_concern_it(data: DataDirectory) -> None:
    assert made(data).not_valid_before_utc < datetime(2019, 7, 1, tzinfo=UTC)


def test_one_of_an_earlier_version_is_replaced_once_before_it_ends(data: DataDirectory) -> None:
    old = make_certificate(Pair.self_made(data), days=825)

    assert made(data, at=NOW) == old
    renewed = made(data, at=NOW + timedelta(days=800))
    assert renewed != old
    # The key stays.
    assert renewed.public_key() == old.public_key()
    assert made(data, at=NOW + timedelta(days=1800)) == renewed


def test_an_uploaded_certificate_is_shown_and_never_replaced(data: DataDirectory) -> None:
    self_made = made(data)
    uploaded = make_certificate(Pair.own(data), days=1)

    pair = ensure(data, identity="x", addresses=(), at=NOW + timedelta(days=9))

    assert pair.is_own
    assert pair.load() == uploaded != self_made


def test_an_uploaded_certificate_without_its_key_does_not_close_the_pages(data: DataDirectory) -> None:
    self_made = made(data)
    make_certificate(Pair.own(data), days=1)
    Pair.own(data).key.write_text("")

    assert made(data) == self_made
    assert Pair.own(data).certificate.exists()


def make_certificate(pair: Pair, *, days: int, issuer: x509.Name | None = None) -> x509.Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "old")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer or name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=days))
        .sign(key, SHA256())
    )
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pair.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate


def test_two_stations_have_two_keys(data: DataDirectory, tmp_path_factory) -> None:
    other = DataDirectory(tmp_path_factory.mktemp("other"))
    other.create()

    assert made(data).public_key() != made(other).public_key()
