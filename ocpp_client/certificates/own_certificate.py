"""The station's own certificate: its key never leaves, the backend signs it (whitepaper, A02). Database thread only."""

from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from django.conf import settings

from ocpp_client.certificates import certificates
from ocpp_client.certificates.certificates import CertificateInvalid
from station import private_files
from station.models import TrustedCertificate
from station.services import configuration

_PENDING_KEY = "pending.key"
_RENEW_BEFORE = timedelta(days=30)


def _directory() -> Path:
    return settings.DATA.certificates


def signing_request() -> str | None:
    """Make a key and the request to sign it; None when the station has no serial number to be named by."""
    serial, operator = configuration.get("/identity/serial"), configuration.get("CpoName")
    if not serial:
        return None
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(key)
    names = [x509.NameAttribute(NameOID.COMMON_NAME, serial)]
    if operator:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, operator))
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names)).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def _write_key(key: ec.EllipticCurvePrivateKey) -> None:
    content = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private_files.write(_directory() / _PENDING_KEY, content)


def take_signed(pem: str, at: datetime) -> None:
    """Take the certificate for the pending key into use; raises CertificateInvalid."""
    if len(pem) > configuration.get_int("CertificateSignedMaxChainSize"):
        raise CertificateInvalid("the chain is too long")
    chain = certificates.read_chain(pem)
    own = chain[0]
    certificates.check(own, at)
    pending = _directory() / _PENDING_KEY
    if not pending.exists():
        raise CertificateInvalid("no request is open")
    if _public(load_pem_private_key(pending.read_bytes(), None).public_key()) != _public(own.public_key()):
        raise CertificateInvalid("it is not for the station's key")
    _check_chain(chain)
    key_file = f"own-{own.fingerprint(hashes.SHA256()).hex()[:16]}.key"
    # In this order a power cut leaves no certificate without its key, and the request open until both are there.
    private_files.write(_directory() / key_file, pending.read_bytes())
    certificates.store(certificates.OWN, own, at, pem=pem, key_file=key_file)
    pending.unlink()


def _check_chain(chain: list[x509.Certificate]) -> None:
    """Each certificate is signed by the next, and the last by a root the station knows – where it knows any."""
    for lower, upper in pairwise(chain):
        if not certificates.issued_by(lower, upper):
            raise CertificateInvalid("the chain is broken")
    rows = TrustedCertificate.objects.exclude(kind=certificates.OWN)
    roots = [certificates.read_chain(row.pem)[0] for row in rows]
    top = chain[-1]
    if roots and top not in roots and not any(certificates.issued_by(top, root) for root in roots):
        raise CertificateInvalid("no known root has signed it")


def _public(key: object) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def exists() -> bool:
    """Return whether the station can show a certificate (a condition of security profile 3)."""
    return TrustedCertificate.objects.filter(kind=certificates.OWN).exclude(key_file="").exists()


def renewal_is_due(at: datetime) -> bool:
    """Return whether the newest certificate ends within a month."""
    newest = TrustedCertificate.objects.filter(kind=certificates.OWN).order_by("-not_after").first()
    return newest is not None and newest.not_after - at < _RENEW_BEFORE
