"""Who may sign software for this station (security whitepaper, L01), and whether a file is what was signed."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from django.conf import settings

from station.models import TrustedCertificate

MANUFACTURER_ROOT = "manufacturer_root"
# Whitepaper, certificate properties.
_LEAST_RSA_BITS = 2048
_LEAST_EC_BITS = 224
_STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class SigningCertificateInvalid(Exception):
    """The certificate does not come from the manufacturer, is out of date or too weak."""


class SigningCertificateRevoked(Exception):
    """The manufacturer has revoked the certificate."""


class SignatureWrong(Exception):
    """The file is not what was signed."""


def check_certificate(pem: str, *, at: datetime) -> x509.Certificate:
    """Return a certificate that may sign software now; raises `SigningCertificateInvalid` or `…Revoked`."""
    try:
        certificates = x509.load_pem_x509_certificates(pem.encode())
        certificate = certificates[0]
        _check_strength(certificate)
        _check_purpose(certificate)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise SigningCertificateInvalid(str(error)[:120]) from error
    _check_time(certificate, at)
    roots = [root for root in _roots() if _has_issued(root, certificate)]
    if not roots:
        raise SigningCertificateInvalid("no root of the manufacturer has issued it")
    for root in roots:
        _check_time(root, at)
        if _is_revoked(certificate, root):
            raise SigningCertificateRevoked(f"{certificate.serial_number:X}")
    return certificate


def check_signature(path: Path, certificate_pem: str, signature: str) -> None:
    """Raise `SignatureWrong` unless the signature (base64) is of the whole file: RSA-PSS or ECDSA with SHA-256."""
    key = x509.load_pem_x509_certificates(certificate_pem.encode())[0].public_key()
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    algorithm = utils.Prehashed(hashes.SHA256())
    try:
        raw = base64.b64decode("".join(signature.split()), validate=True)
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.AUTO)
            key.verify(raw, digest, pss, algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(raw, digest, ec.ECDSA(algorithm))
        else:
            raise SignatureWrong("the certificate's key is of an unknown kind")
    except (InvalidSignature, ValueError) as error:
        raise SignatureWrong("the signature does not fit the file") from error


def _roots() -> Iterator[x509.Certificate]:
    for pem in TrustedCertificate.objects.filter(kind=MANUFACTURER_ROOT).values_list("pem", flat=True):
        yield x509.load_pem_x509_certificate(pem.encode())


def _has_issued(root: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        # Whitepaper L01, remarks: no intermediate certificates for signing software.
        certificate.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _check_strength(certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        is_strong = key.key_size >= _LEAST_RSA_BITS
    else:
        is_strong = isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= _LEAST_EC_BITS
    if not is_strong or not isinstance(certificate.signature_hash_algorithm, _STRONG_HASHES):
        raise SigningCertificateInvalid("its key or its signature is too weak")


def _check_purpose(certificate: x509.Certificate) -> None:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    if not usage.digital_signature:
        raise SigningCertificateInvalid("it is not meant for signatures")


def _check_time(certificate: x509.Certificate, at: datetime) -> None:
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise SigningCertificateInvalid("it is not valid at this time")


def _is_revoked(certificate: x509.Certificate, root: x509.Certificate) -> bool:
    """Look into the manufacturer's revocation lists, which come with the software into `certificates/revoked`."""
    for path in (settings.DATA.certificates / "revoked").glob("*.crl"):
        try:
            revoked = x509.load_pem_x509_crl(path.read_bytes())
            issued_by_root = revoked.issuer == root.subject and revoked.is_signature_valid(root.public_key())  # type: ignore[arg-type]
        except (OSError, ValueError, TypeError):
            continue
        if issued_by_root and revoked.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            return True
    return False
