"""The self-made TLS certificate of the web interface: made on the device, renewed before it ends."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from station.domain.moments import EARLIEST_STAMP
from station.host.addresses import SERVICE_ADDRESS
from station.paths import DataDirectory

# Apple refuses server certificates that are valid longer.
_VALID_FOR = timedelta(days=825)
_RENEW_BEFORE = timedelta(days=30)
# A clock that is somewhat behind must not make the certificate "not yet valid" for the browser.
_BACKDATED = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Where certificate and key are kept; `own` ones, uploaded by the installer, are never replaced here."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, data: DataDirectory) -> "Pair":
        """Choose the installer's own pair when there is one, else the self-made one."""
        own = cls(certificate=data.certificates / "web_own.pem", key=data.certificates / "web_own.key")
        if own.certificate.exists() and own.key.exists():
            return own
        return cls(certificate=data.certificates / "web.pem", key=data.certificates / "web.key")

    @property
    def is_own(self) -> bool:
        """Return whether the installer uploaded it."""
        return self.certificate.name == "web_own.pem"

    def load(self) -> x509.Certificate | None:
        """Read the certificate; None when it is absent or unreadable."""
        try:
            return x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError):
            return None


def fingerprint(certificate: x509.Certificate) -> str:
    """Write the SHA-256 fingerprint the way browsers show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def names_in(certificate: x509.Certificate) -> set[str]:
    """List the names and addresses a certificate is for."""
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    addresses = {str(address) for address in alternative.get_values_for_type(x509.IPAddress)}
    return addresses | set(alternative.get_values_for_type(x509.DNSName))


def ensure(data: DataDirectory, *, identity: str, addresses: Iterable[str], at: datetime) -> Pair:
    """Make or renew the self-made certificate when it is absent, ends soon or lacks an address."""
    pair = Pair.of(data)
    if pair.is_own:
        return pair
    present, wanted = pair.load(), set(_names(identity, addresses))
    if present and pair.key.exists() and not _is_due(present, wanted, at):
        return pair
    key = ec.generate_private_key(ec.SECP256R1())
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _write(pair.key, encoded)
    _write(pair.certificate, _sign(key, sorted(wanted), identity, at).public_bytes(serialization.Encoding.PEM))
    return pair


def _names(identity: str, addresses: Iterable[str]) -> Iterator[str]:
    yield from ("localhost", "127.0.0.1", "::1", SERVICE_ADDRESS)
    yield from addresses
    host = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in identity).strip("-").lower()
    if host:
        yield f"{host[:63]}.local"


def _is_due(present: x509.Certificate, wanted: set[str], at: datetime) -> bool:
    return (
        at > present.not_valid_after_utc - _RENEW_BEFORE
        or at < present.not_valid_before_utc
        or not wanted <= names_in(present)
    )


def _sign(key: ec.EllipticCurvePrivateKey, names: list[str], identity: str, at: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, (identity or "station")[:64])])
    begin = max(at, EARLIEST_STAMP) - _BACKDATED
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
        .not_valid_before(begin)
        .not_valid_after(begin + _VALID_FOR)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _write(path: Path, content: bytes) -> None:
    draft = path.with_suffix(path.suffix + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        os.fsync(file.fileno())
    draft.replace(path)
