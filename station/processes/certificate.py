"""The self-made TLS certificate of the web interface: made on the device, once, for the life of the station.

A browser asks its user to compare the fingerprint and to make an exception for it. So the certificate stays the same
when addresses or names change, which the exception does not depend on, and it does not depend on the clock of the first
start. Whoever wants another one on purpose moves web.pem and web.key away and restarts the station.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from station import private_files
from station.host.addresses import SERVICE_ADDRESS
from station.host.web_certificate import Pair
from station.paths import DataDirectory

# Apple refuses certificates that are valid for more than 825 days if they begin after 1 July 2019, and old ones do not
# disturb anybody. A fixed beginning also holds when the clock was never set.
_BEGINS = datetime(2019, 1, 1, tzinfo=UTC)
# The last moment that every ASN.1 reader understands (RFC 5280 section 4.1.2.5); no station stands so long.
_ENDS = datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)
# Earlier versions made certificates that end; each is replaced once.
_RENEW_BEFORE = timedelta(days=30)


def ensure(data: DataDirectory, *, identity: str, addresses: Iterable[str], at: datetime) -> Pair:
    """Make the self-made certificate where it is absent, torn or about to end; what cannot be used is set aside."""
    if Pair.own(data).is_usable():
        return Pair.own(data)
    pair = Pair.self_made(data)
    with private_files.exclusive(data.certificates):
        present = pair.load()
        if present is not None and pair.is_usable() and not _is_about_to_end(present, at):
            return pair
        key = _key(pair)
        if not pair.is_usable():
            _set_aside(pair.certificate)
        made = _sign(key, sorted({*_names(identity, addresses)}), identity)
        private_files.write(pair.certificate, made.public_bytes(serialization.Encoding.PEM))
    return pair


def _key(pair: Pair) -> ec.EllipticCurvePrivateKey:
    """Return the key, which outlives a certificate; make it where there is none."""
    present = pair.load_key()
    if isinstance(present, ec.EllipticCurvePrivateKey):
        return present
    for path in (pair.key, pair.certificate):
        _set_aside(path)
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    private_files.write(pair.key, encoded)
    return key


def _set_aside(path: Path) -> None:
    with suppress(FileNotFoundError):
        private_files.set_aside(path)


def _names(identity: str, addresses: Iterable[str]) -> Iterator[str]:
    yield from ("localhost", "127.0.0.1", "::1", SERVICE_ADDRESS)
    yield from addresses
    host = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in identity).strip("-").lower()
    if host:
        yield f"{host[:63]}.local"


def _is_about_to_end(present: x509.Certificate, at: datetime) -> bool:
    end = present.not_valid_after_utc
    return end < _ENDS and at > end - _RENEW_BEFORE


def _sign(key: ec.EllipticCurvePrivateKey, names: list[str], identity: str) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (identity or "station")[:64])])
    alternatives: list[x509.GeneralName] = []
    for name in names:
        try:
            alternatives.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            alternatives.append(x509.DNSName(name))
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_BEGINS)
        .not_valid_after(_ENDS)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
