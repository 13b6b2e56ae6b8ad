"""The certificate the web interface shows: the installer's own where there is one, else the self-made one."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from station.paths import DataDirectory


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Where a certificate and its key are kept."""

    certificate: Path
    key: Path
    is_own: bool = False

    @classmethod
    def of(cls, data: DataDirectory) -> "Pair":
        """Choose the installer's own pair where it can be used, else the self-made one."""
        own = cls.own(data)
        return own if own.is_usable() else cls.self_made(data)

    @classmethod
    def own(cls, data: DataDirectory) -> "Pair":
        """Name the pair the installer has uploaded; it is never replaced by the station."""
        return cls(certificate=data.certificates / "web_own.pem", key=data.certificates / "web_own.key", is_own=True)

    @classmethod
    def self_made(cls, data: DataDirectory) -> "Pair":
        """Name the pair the station makes at its first start."""
        return cls(certificate=data.certificates / "web.pem", key=data.certificates / "web.key")

    def load(self) -> x509.Certificate | None:
        """Read the certificate; None when it is absent or unreadable."""
        try:
            return x509.load_pem_x509_certificate(self.certificate.read_bytes())
        except (OSError, ValueError):
            return None

    def load_key(self) -> PrivateKeyTypes | None:
        """Read the key; None when it is absent or unreadable."""
        try:
            return load_pem_private_key(self.key.read_bytes(), None)
        except (OSError, ValueError, TypeError):
            return None

    def is_usable(self) -> bool:
        """Return whether both can be read and belong together."""
        certificate, key = self.load(), self.load_key()
        return certificate is not None and key is not None and certificate.public_key() == key.public_key()

    def stamp(self) -> tuple[object, ...]:
        """Return something that changes when one of the files does."""
        return tuple(_stamp(path) for path in (self.certificate, self.key))


def is_from_an_authority(data: DataDirectory) -> bool:
    """Return whether browsers get a certificate that somebody else has signed."""
    own = Pair.own(data)
    return _is_from_an_authority(own, own.stamp())


@lru_cache(maxsize=2)
def _is_from_an_authority(own: Pair, _stamp: object) -> bool:
    certificate = own.load()
    return certificate is not None and own.is_usable() and certificate.issuer != certificate.subject


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


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
