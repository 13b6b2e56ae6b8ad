"""Where the backend is and how the station shows who it is (security whitepaper, profiles 0 to 3)."""

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings

from station import private_files
from station.domain.configuration.backend import authorization_key_bytes, endpoint
from station.models import TrustedCertificate
from station.services import configuration

_TLS_PROFILE, _CERTIFICATE_PROFILE = 2, 3
# Security whitepaper section 2.3 with its preference for forward secrecy; TLS 1.3 brings its own suites.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:AES128-GCM-SHA256:AES256-GCM-SHA384"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One way to reach the backend. Two equal endpoints are reached by the same connection."""

    base_url: str
    identity: str
    security_profile: int
    authorization_key: str = field(default="", repr=False)
    verify_hostname: bool = True

    @property
    def url(self) -> str:
        """The address with the identity in it; from profile 2 on always over TLS."""
        parts = urlsplit(endpoint(self.base_url, self.identity))
        scheme = "wss" if self.uses_tls else "ws"
        return urlunsplit((scheme, parts.netloc, parts.path, parts.query, ""))

    @property
    def uses_tls(self) -> bool:
        return self.security_profile >= _TLS_PROFILE or self.base_url.lower().startswith("wss:")

    @property
    def shows_certificate(self) -> bool:
        """Whether the station shows a certificate of its own."""
        return self.security_profile >= _CERTIFICATE_PROFILE

    @property
    def host(self) -> str:
        return urlsplit(self.base_url.replace("${chargeBoxIdentity}", "identity")).hostname or ""

    @property
    def key(self) -> str:
        """What registration is bound to."""
        return f"{self.base_url} {self.identity}"

    def headers(self) -> dict[str, str]:
        """Return the handshake headers: Basic authentication in profiles 1 and 2."""
        if not self.authorization_key or self.security_profile not in {1, _TLS_PROFILE}:
            return {}
        credentials = self.identity.encode() + b":" + authorization_key_bytes(self.authorization_key)
        return {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}

    def fits(self, other: "Endpoint") -> bool:
        """Return whether both lead to the same backend under the same name, perhaps by other credentials."""
        return self.key == other.key

    def with_credentials_of(self, other: "Endpoint") -> "Endpoint":
        """Return this endpoint with the key and the profile of another."""
        return replace(self, authorization_key=other.authorization_key, security_profile=other.security_profile)


def configured() -> Endpoint | None:
    """Read the endpoint from the configuration; None when no backend is set up."""
    return proposed({})


def proposed(wanted: Mapping[str, str]) -> Endpoint | None:
    """Make the endpoint that the configuration would lead to with these values; None: it would lead nowhere."""
    present = configuration.proposed(wanted)
    base_url = present["/ocpp/url"]
    if not base_url:
        return None
    return Endpoint(
        base_url=base_url,
        identity=present["/ocpp/chargeBoxIdentity"],
        security_profile=int(present["SecurityProfile"]),
        authorization_key=present["AuthorizationKey"],
        verify_hostname=present["/ocpp/verifyHostname"] == "true",
    )


def trusted_tls_context(target: Endpoint) -> ssl.SSLContext | None:
    """Make the TLS context of a connection that proves who the backend is; None: it is not encrypted."""
    return _context(target, _trusted_roots(), []) if target.uses_tls else None


def accepted_tls_context(target: Endpoint) -> ssl.SSLContext | None:
    """Make the TLS context with the roots that came over unproven links as well; None: none of these is to be used.

    Where somebody trusted has said whom to trust, they are not.
    """
    unproven = _roots(from_unproven_link=True)
    is_used = target.uses_tls and unproven and not _trusted_roots()
    return _context(target, [], unproven) if is_used else None


def tls_context(target: Endpoint) -> ssl.SSLContext | None:
    """Make the TLS context that accepts every backend the station would work with; None: it is not encrypted."""
    return accepted_tls_context(target) or trusted_tls_context(target)


def _roots(*, from_unproven_link: bool) -> list[str]:
    roots = TrustedCertificate.objects.filter(kind="backend_root", from_unproven_link=from_unproven_link)
    return list(roots.values_list("pem", flat=True))


def _trusted_roots() -> list[str]:
    roots = _roots(from_unproven_link=False)
    ca_file = settings.DATA.certificates / "backend_ca.pem"
    return [*roots, ca_file.read_text()] if ca_file.exists() else roots


def _context(target: Endpoint, trusted: list[str], unproven: list[str]) -> ssl.SSLContext:
    """Make a context: TLS 1.2 at least, the backend's own CA where one is trusted, else the system's.

    Roots that came over an unproven link only add to these, so that nobody in between can displace them.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.check_hostname = target.verify_hostname
    if not trusted:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if roots := [*trusted, *unproven]:
        context.load_verify_locations(cadata="\n".join(roots))
    if target.security_profile >= _CERTIFICATE_PROFILE:
        _load_own_certificate(context)
    return context


def _load_own_certificate(context: ssl.SSLContext) -> None:
    """Show the newest certificate of the station; without one the backend will refuse, and say so."""
    own = TrustedCertificate.objects.filter(kind="own").exclude(key_file="").order_by("-not_before", "-id").first()
    if own is None:
        return
    chain = settings.DATA.certificates / f"own-{own.pk}.pem"
    if not chain.exists() or chain.read_text() != own.pem:
        private_files.write(chain, own.pem.encode())
    context.load_cert_chain(chain, settings.DATA.certificates / own.key_file)
