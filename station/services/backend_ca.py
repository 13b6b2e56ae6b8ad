"""The certificates that the backend's own must descend from, installed from a PEM file."""

from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from station.domain.commands import Origin, Status
from station.domain.configuration import InvalidValue
from station.domain.configuration.standard_keys import CERTIFICATE_STORE_MAX_LENGTH
from station.models import AuditEntry, TrustedCertificate
from station.services import security_log

BACKEND_ROOT = "backend_root"
OWN = "own"
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def install_file(path: str, at: datetime) -> None:
    """Install every certificate of a PEM file; raise `InvalidValue` when it holds none or a damaged one."""
    try:
        pem = Path(path).expanduser().read_bytes()
    except OSError:
        raise InvalidValue("file_missing", path=path) from None
    install(pem, at=at)


def install(pem: bytes, *, at: datetime, actor: str = "") -> tuple[TrustedCertificate, ...]:
    """Install the certificates of a PEM text, each once; raise `InvalidValue` when it holds none or a damaged one.

    `actor`: the person who has brought it to a page, for the audit trail.
    """
    if _BEGIN not in pem:
        raise InvalidValue("private_key_given" if b"PRIVATE KEY-----" in pem else "no_certificate")
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise InvalidValue("broken_certificate") from None
    for certificate in certificates:
        # A server's own, self-signed one can be trusted as it is; one that somebody else has issued cannot.
        if not is_authority(certificate) and certificate.issuer != certificate.subject:
            raise InvalidValue("no_authority", name=certificate.subject.rfc4514_string()[:300])
    present = set(TrustedCertificate.objects.exclude(kind=OWN).values_list("kind", "fingerprint"))
    added = {(BACKEND_ROOT, certificate.fingerprint(SHA256()).hex()) for certificate in certificates} - present
    if added and len(present) + len(added) > CERTIFICATE_STORE_MAX_LENGTH:
        raise InvalidValue("too_many_certificates", limit=CERTIFICATE_STORE_MAX_LENGTH)
    rows = tuple(_install(certificate, at) for certificate in certificates)
    if actor:
        _audit("AddCaCertificate", actor=actor, at=at, subjects=[row.subject for row in rows])
    return rows


def is_authority(certificate: x509.Certificate) -> bool:
    """Return whether a certificate may sign others; one that does not say is taken at its issuer's word."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject


def installed() -> tuple[TrustedCertificate, ...]:
    """Return the CA certificates, in a steady order."""
    return tuple(TrustedCertificate.objects.filter(kind=BACKEND_ROOT).order_by("subject", "id"))


def remove(row_id: int, *, at: datetime, actor: str) -> str | None:
    """Take a CA certificate away on somebody's order; return its subject, None where there is none."""
    row = TrustedCertificate.objects.filter(kind=BACKEND_ROOT, pk=row_id).first()
    if row is None:
        return None
    row.delete()
    _audit("RemoveCaCertificate", actor=actor, at=at, subjects=[row.subject])
    return row.subject


def _audit(command: str, *, actor: str, at: datetime, subjects: list[str]) -> None:
    AuditEntry.objects.create(
        at=at,
        origin=Origin.WEB.value,
        actor=actor,
        command=command,
        data={"subjects": subjects},
        outcome=Status.ACCEPTED.value,
    )
    security_log.record("ReconfigurationOfSecurityParameters", at=at, tech_info=f"{command} (web)")


def _install(certificate: x509.Certificate, at: datetime) -> TrustedCertificate:
    row, _ = TrustedCertificate.objects.get_or_create(
        kind=BACKEND_ROOT,
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        defaults={
            "pem": certificate.public_bytes(Encoding.PEM).decode("ascii"),
            "subject": certificate.subject.rfc4514_string()[:300],
            "issuer": certificate.issuer.rfc4514_string()[:300],
            "serial_number": f"{certificate.serial_number:x}",
            "not_before": certificate.not_valid_before_utc,
            "not_after": certificate.not_valid_after_utc,
            "added_at": at,
        },
    )
    if row.from_unproven_link:
        # Now a person has brought it.
        row.from_unproven_link = False
        row.save(update_fields=["from_unproven_link"])
    return row


def is_installed() -> bool:
    """Return whether there is a CA to check the backend against."""
    return TrustedCertificate.objects.filter(kind=BACKEND_ROOT).exists()


def has_own_certificate() -> bool:
    """Return whether the station has a certificate to show."""
    return TrustedCertificate.objects.filter(kind=OWN).exists()
