"""Why RAUC has refused a bundle, read from its signature: RAUC 1.8 of Debian 12 says only that it has.

RAUC alone decides. What is read here decides nothing and chooses the sentence that a person reads.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

# A bundle is a squashfs, the signature, and the signature's length as eight bytes.
_SQUASHFS, _SIZE_OF_SIZE = b"hsqs", 8
_LARGEST_SIGNATURE = 64 * 1024
# The attribute signingTime (RFC 5652, 11.3) of this century.
_SIGNED_AT = re.compile(
    rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x05\x31.(?:\x17\x0d|\x18\x0f20)(\d{12})Z", re.DOTALL
)
_FAILED = "signature verification failed"


def why_refused(image: Path, keyring: Path) -> str:
    """Return why a file is no update for a station that trusts the keyring (PEM), as a later RAUC would say it."""
    signature = _signature_of(image)
    if signature is None:
        return "this is no bundle"
    try:
        reason = _trouble(signature, keyring.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        reason = ""
    return f"{_FAILED}: {reason}" if reason else _FAILED


def _signature_of(image: Path) -> bytes | None:
    """Return the signature of a file that begins and ends like a bundle, b"" for one too large; None: it does not."""
    try:
        with image.open("rb") as file:
            is_squashfs = file.read(len(_SQUASHFS)) == _SQUASHFS
            end = file.seek(-_SIZE_OF_SIZE, os.SEEK_END)
            size = int.from_bytes(file.read(), "big")
            if not is_squashfs or not 0 < size < end:
                return None
            if size > _LARGEST_SIGNATURE:
                return b""
            file.seek(end - size)
            return file.read(size)
    except OSError:
        return None


def _trouble(signature: bytes, keyring: bytes) -> str:
    """Return what is wrong with a signature's certificate; "": nothing. Raises ValueError, UnsupportedAlgorithm."""
    # Hardly ever needed, and not small.
    from cryptography.hazmat.primitives.serialization import pkcs7

    roots = x509.load_pem_x509_certificates(keyring)
    signed_at = _signed_at(signature)
    for certificate in pkcs7.load_der_pkcs7_certificates(signature):
        if not any(_has_issued(root, certificate) for root in roots):
            continue
        if certificate.serial_number in _revoked(keyring):
            return "certificate revoked"
        if signed_at is not None and signed_at > certificate.not_valid_after_utc:
            return "certificate has expired"
    return ""


def _has_issued(root: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _revoked(keyring: bytes) -> Iterator[int]:
    """List the serial numbers that a keyring has revoked; one from before there were lists has none."""
    try:
        revocations = x509.load_pem_x509_crl(keyring)
    except ValueError:
        return
    for each in revocations:
        yield each.serial_number


def _signed_at(signature: bytes) -> datetime | None:
    # The last one: what is signed stands before it and may hold anything.
    found = _SIGNED_AT.findall(signature)
    try:
        return datetime.strptime(f"20{found[-1].decode()}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return None
