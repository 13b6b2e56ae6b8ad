"""The certificates of a cluster. Whoever knows the pairing code makes the same authority and signs for himself with it.

A certificate proves nothing but that its owner knows the code: it is made anew at every start and never stored. Nothing
depends on the clock, because a station may begin in 1970 and must still find its master.
"""

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from loadmgmt.cluster.keys import ClusterKeys

_BEGINS = datetime(1970, 1, 1, tzinfo=UTC)
# What RFC 5280 section 4.1.2.5 says of a certificate without an end.
_ENDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_AUTHORITY = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "EV cluster")])
# The order of the group of P-256 (FIPS 186-4, D.1.2.3).
_ORDER = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551


class Purpose(Enum):
    """Which side of a connection a certificate is for."""

    MASTER = ExtendedKeyUsageOID.SERVER_AUTH
    MEMBER = ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True)
class Credentials:
    """What TLS needs, as PEM: the authority that is trusted, and one's own certificate with its key."""

    authority: bytes
    own: bytes = field(repr=False)


def issue(keys: ClusterKeys, purpose: Purpose) -> Credentials:
    """Make credentials; it takes some milliseconds."""
    authority_key = ec.derive_private_key(int.from_bytes(keys.authority_seed, "big") % (_ORDER - 1) + 1, ec.SECP256R1())
    authority = _authority(authority_key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, purpose.name.lower())])
    leaf = (
        _builder(name, key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose.value]), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    encoded_key = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials(authority=authority.public_bytes(pem), own=leaf.public_bytes(pem) + encoded_key)


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        _builder(_AUTHORITY, key.public_key())
        .serial_number(1)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        # The same certificate at every station, to the last bit.
        .sign(key, hashes.SHA256(), ecdsa_deterministic=True)
    )


def _builder(subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_AUTHORITY)
        .public_key(key)
        .not_valid_before(_BEGINS)
        .not_valid_after(_ENDS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def member_context(keys: ClusterKeys) -> ssl.SSLContext:
    """Return the TLS settings of a station that connects to its master: this authority and no other."""
    credentials = issue(keys, Purpose.MEMBER)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # A master has no name: knowing the code is what counts, and the certificate says for which side it is.
    context.check_hostname = False
    context.load_verify_locations(cadata=credentials.authority.decode())
    with _in_memory(credentials.own) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Give something a path without writing it to a disk."""
    descriptor = memory_file("credentials", content)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def memory_file(name: str, content: bytes) -> int:
    """Return the descriptor of a file that exists in memory only; its owner closes it."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
