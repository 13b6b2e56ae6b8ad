"""Certificates for TLS tests: an authority in a temporary directory, and whatever it (or another one) signs."""

import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOCAL_NAMES = ("localhost", "127.0.0.1")
ONE_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Issued:
    """A certificate with its chain, and its private key, as PEM files."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> str:
        return self.certificate.read_text()


class CertificateAuthority:
    """A certificate authority of its own; two of them do not trust each other."""

    def __init__(self, directory: Path, name: str, key: ec.EllipticCurvePrivateKey, root: x509.Certificate) -> None:
        self._directory = directory
        self._name = name
        self._key = key
        self._root = root
        self._number = 0
        self.certificate = directory / f"{name}.pem"
        self.certificate.write_bytes(root.public_bytes(serialization.Encoding.PEM))

    @classmethod
    def make(cls, directory: Path, name: str = "ca", *, signed_by: "CertificateAuthority | None" = None) -> Self:
        """Make a root, or an authority below another one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(f"Test authority {name}")
        issuer, issuer_key = (subject, key) if signed_by is None else (signed_by._root.subject, signed_by._key)
        now = datetime.now(UTC)
        builder = _builder(subject, issuer, key.public_key(), now - ONE_DAY, now + 3650 * ONE_DAY)
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(sign_certificates=True), critical=True)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        return cls(directory, name, key, builder.sign(issuer_key, hashes.SHA256()))

    @property
    def pem(self) -> str:
        """Give the authority's own certificate."""
        return self.certificate.read_text()

    def server(
        self,
        names: Sequence[str] = LOCAL_NAMES,
        *,
        valid_from: timedelta = -ONE_DAY,
        valid_for: timedelta = 30 * ONE_DAY,
    ) -> Issued:
        """Issue a server certificate for these names and addresses; the first one is the common name as well."""
        return self._issue(names[0], names, ExtendedKeyUsageOID.SERVER_AUTH, valid_from, valid_for)

    def expired_server(self) -> Issued:
        """Issue a server certificate that ended yesterday."""
        return self.server(valid_from=-10 * ONE_DAY, valid_for=9 * ONE_DAY)

    def wrong_name_server(self) -> Issued:
        """Issue a server certificate for somebody else."""
        return self.server(["backend.example"])

    def client(
        self, common_name: str, *, valid_from: timedelta = -ONE_DAY, valid_for: timedelta = 30 * ONE_DAY
    ) -> Issued:
        """Issue a client certificate, as a station has it in security profile 3."""
        return self._issue(common_name, (), ExtendedKeyUsageOID.CLIENT_AUTH, valid_from, valid_for)

    def sign_request(self, request_pem: str, *, valid_for: timedelta = 30 * ONE_DAY) -> str:
        """Sign a station's certificate request and return the certificate as PEM.

        Raises:
            ValueError: the request is not signed by its own key.
        """
        request = x509.load_pem_x509_csr(request_pem.encode())
        if not request.is_signature_valid:
            raise ValueError("the request is not signed by its own key")
        now = datetime.now(UTC)
        certificate = self._sign(
            _builder(request.subject, self._root.subject, request.public_key(), now - ONE_DAY, now + valid_for),
            ExtendedKeyUsageOID.CLIENT_AUTH,
        )
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _issue(
        self,
        common_name: str,
        names: Sequence[str],
        usage: x509.ObjectIdentifier,
        valid_from: timedelta,
        valid_for: timedelta,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        begin = datetime.now(UTC) + valid_from
        builder = _builder(_subject(common_name), self._root.subject, key.public_key(), begin, begin + valid_for)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_general(one) for one in names]), critical=False
            )
        certificate = self._sign(builder, usage)
        self._number += 1
        stem = self._directory / f"{self._name}-{self._number}"
        issued = Issued(certificate=stem.with_suffix(".pem"), key=stem.with_suffix(".key"))
        issued.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + self.pem.encode())
        issued.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return issued

    def _sign(self, builder: x509.CertificateBuilder, usage: x509.ObjectIdentifier) -> x509.Certificate:
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_key_usage(sign_certificates=False), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
        )
        return builder.sign(self._key, hashes.SHA256())


def server_context(server: Issued, *, client_authority: CertificateAuthority | None = None) -> ssl.SSLContext:
    """Make the server's side of TLS; with a client authority only its clients come in."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(server.certificate, server.key)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority.certificate)
    return context


def client_context(authority: CertificateAuthority, *, client: Issued | None = None) -> ssl.SSLContext:
    """Make a client's side of TLS that trusts only this authority."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: Any, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        encipher_only=False,
        decipher_only=False,
    )
