"""The store of root certificates the backend may maintain (security whitepaper, section 5). Database thread only."""

import hashlib
import logging
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import transaction

from station.domain.link_security import LinkSecurity
from station.models import TrustedCertificate
from station.services import backend_ca, configuration, event_log, link_trust, security_log

logger = logging.getLogger(__name__)

BACKEND_ROOT, MANUFACTURER_ROOT, OWN = "backend_root", "manufacturer_root", "own"
KINDS = {"CentralSystemRootCertificate": BACKEND_ROOT, "ManufacturerRootCertificate": MANUFACTURER_ROOT}
_MIN_RSA_BITS, _MIN_EC_BITS = 2048, 224
_WEAK_HASHES = (hashes.MD5, hashes.SHA1)
_HASHES = {"SHA256": hashlib.sha256, "SHA384": hashlib.sha384, "SHA512": hashlib.sha512}
_MAX_NAME_LENGTH = 300


class CertificateInvalid(ValueError):
    """The text is no certificate the station would trust."""


def read_one(pem: str, at: datetime) -> x509.Certificate:
    """Read a single PEM certificate that is strong and valid now; raises CertificateInvalid."""
    chain = read_chain(pem)
    if len(chain) != 1:
        raise CertificateInvalid("one certificate is expected")
    check(chain[0], at)
    return chain[0]


def read_chain(pem: str) -> list[x509.Certificate]:
    """Read PEM certificates in the order given; raises CertificateInvalid."""
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        raise CertificateInvalid(str(error)[:100]) from error


def check(certificate: x509.Certificate, at: datetime) -> None:
    """Raise CertificateInvalid for a weak or expired certificate (whitepaper, section 5.1)."""
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise CertificateInvalid("not valid now")
    key = certificate.public_key()
    strong = (isinstance(key, rsa.RSAPublicKey) and key.key_size >= _MIN_RSA_BITS) or (
        isinstance(key, ec.EllipticCurvePublicKey) and key.key_size >= _MIN_EC_BITS
    )
    if not strong:
        raise CertificateInvalid("the key is too weak")
    if isinstance(certificate.signature_hash_algorithm, _WEAK_HASHES):
        raise CertificateInvalid("the signature is too weak")


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether `issuer` has signed the certificate."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, Exception) as error:  # noqa: BLE001 – InvalidSignature has no common base
        del error
        return False
    return True


def store(
    kind: str,
    certificate: x509.Certificate,
    at: datetime,
    *,
    pem: str = "",
    key_file: str = "",
    from_unproven_link: bool = False,
) -> None:
    """Keep a certificate."""
    TrustedCertificate.objects.update_or_create(
        kind=kind,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        defaults={
            "pem": pem or certificate.public_bytes(Encoding.PEM).decode(),
            "subject": certificate.subject.rfc4514_string()[:_MAX_NAME_LENGTH],
            "issuer": certificate.issuer.rfc4514_string()[:_MAX_NAME_LENGTH],
            "serial_number": f"{certificate.serial_number:x}",
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            "added_at": at,
            "key_file": key_file,
            "from_unproven_link": from_unproven_link,
        },
    )


@transaction.atomic
def install(kind: str, pem: str, at: datetime, link: LinkSecurity) -> str:
    """Add a root certificate that came over a link; return an OCPP CertificateStatus.

    One from an unproven link is used, but what it signs proves nothing; one that is trusted already stays so.
    """
    try:
        certificate = read_one(pem, at)
    except CertificateInvalid:
        return "Rejected"
    if not backend_ca.is_authority(certificate):
        return "Rejected"
    roots = TrustedCertificate.objects.exclude(kind=OWN)
    known = roots.filter(kind=kind, fingerprint=certificate.fingerprint(hashes.SHA256()).hex()).first()
    if known is None and roots.count() >= configuration.get_int("CertificateStoreMaxLength"):
        return "Rejected"
    if not _follows_the_old_root(kind, certificate, at):
        return "Rejected"
    is_trusted = link_trust.is_trusted(link) or (known is not None and not known.from_unproven_link)
    store(kind, certificate, at, from_unproven_link=not is_trusted)
    return "Accepted"


def forget_unproven(at: datetime) -> None:
    """Remove the backend's roots that came over unproven links: the backend has now proved itself without them."""
    rows = TrustedCertificate.objects.filter(kind=BACKEND_ROOT, from_unproven_link=True)
    subjects = list(rows.values_list("subject", flat=True))
    if not subjects:
        return
    with transaction.atomic():
        rows.delete()
        event_log.log("certificates.unproven_removed", at=at, subjects=subjects)
        security_log.record(
            "ReconfigurationOfSecurityParameters", at=at, tech_info=f"unproven roots removed: {'; '.join(subjects)}"
        )
    logger.warning("Roots that came over an unproven link are removed: %s", "; ".join(subjects))


def _follows_the_old_root(kind: str, certificate: x509.Certificate, at: datetime) -> bool:
    """Under AdditionalRootCertificateCheck a new backend root must be signed by the present one."""
    if kind != BACKEND_ROOT or not configuration.get_bool("AdditionalRootCertificateCheck"):
        return True
    old = [read_chain(row.pem)[0] for row in TrustedCertificate.objects.filter(kind=kind, not_after__gt=at)]
    return not old or any(issued_by(certificate, root) for root in old)


def identifiers(kind: str) -> list[dict[str, str]]:
    """Return the hash data of every root of a kind."""
    rows = TrustedCertificate.objects.filter(kind=kind).order_by("id")
    return [_identifier(read_chain(row.pem)[0], "SHA256") for row in rows]


def _identifier(certificate: x509.Certificate, algorithm: str) -> dict[str, str]:
    """Hash issuer name and issuer key as OCSP does (RFC 6960); a root is its own issuer."""
    digest = _HASHES[algorithm]
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey):
        key_bits = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    else:
        key_bits = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return {
        "hashAlgorithm": algorithm,
        "issuerNameHash": digest(certificate.issuer.public_bytes()).hexdigest(),
        "issuerKeyHash": digest(key_bits).hexdigest(),
        "serialNumber": f"{certificate.serial_number:x}",
    }


@transaction.atomic
def delete(wanted: dict[str, Any], link: LinkSecurity) -> str:
    """Remove a root because of a call over a link; return a DeleteCertificateStatus.

    The last one of a backend that is connected by it stays, and over an unproven link all that are trusted.
    """
    roots = TrustedCertificate.objects.exclude(kind=OWN)
    for row in roots:
        found = _identifier(read_chain(row.pem)[0], wanted["hashAlgorithm"])
        if all(_same(found[name], str(wanted[name])) for name in ("issuerNameHash", "issuerKeyHash", "serialNumber")):
            if not row.from_unproven_link and not link_trust.is_trusted(link):
                return "Failed"
            last = row.kind == BACKEND_ROOT and roots.filter(kind=BACKEND_ROOT).count() == 1
            if last and link.encrypted:
                return "Failed"
            row.delete()
            return "Accepted"
    return "NotFound"


def _same(ours: str, theirs: str) -> bool:
    return ours.lstrip("0").lower() == theirs.strip().lstrip("0").lower()
