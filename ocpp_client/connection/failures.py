"""Why there is no connection: one code per cause, for the log, the page and the choice of what to try next."""

import socket
import ssl
from enum import StrEnum

from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, NegotiationError

from station.domain.backend_ladder import Step


class Failure(StrEnum):
    """The causes; each is shown in words by the pages."""

    NO_BACKEND = "no_backend"
    NETWORK_DOWN = "network_down"
    NAME_UNKNOWN = "name_unknown"
    CONNECTION_REFUSED = "connection_refused"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CERTIFICATE_INVALID = "certificate_invalid"
    TLS_VERSION = "tls_version"
    TLS_CIPHER = "tls_cipher"
    TLS_FAILED = "tls_failed"
    UNAUTHORIZED = "unauthorized"
    IDENTITY_UNKNOWN = "identity_unknown"
    BACKEND_UNAVAILABLE = "backend_unavailable"
    HTTP_STATUS = "http_status"
    SUBPROTOCOL_REFUSED = "subprotocol_refused"
    HANDSHAKE_FAILED = "handshake_failed"
    ADDRESS_INVALID = "address_invalid"
    CLOSED = "closed"
    CONNECTION_LOST = "connection_lost"
    MESSAGE_TOO_BIG = "message_too_big"
    PONG_MISSING = "pong_missing"


# These may be the credentials' fault, so the earlier ones are worth a try (security whitepaper, A05).
CREDENTIALS = frozenset(
    {
        Failure.UNAUTHORIZED,
        Failure.CERTIFICATE_INVALID,
        Failure.TLS_VERSION,
        Failure.TLS_CIPHER,
        Failure.TLS_FAILED,
        Failure.HTTP_STATUS,
        Failure.HANDSHAKE_FAILED,
        Failure.CONNECTION_LOST,
        Failure.CLOSED,
    }
)
SECURITY_EVENTS = {
    Failure.CERTIFICATE_INVALID: "InvalidCentralSystemCertificate",
    Failure.TLS_VERSION: "InvalidTLSVersion",
    Failure.TLS_CIPHER: "InvalidTLSCipherSuite",
    Failure.UNAUTHORIZED: "FailedToAuthenticationAtCentralSystem",
}
_BY_STATUS = {
    401: Failure.UNAUTHORIZED,
    403: Failure.UNAUTHORIZED,
    404: Failure.IDENTITY_UNKNOWN,
    502: Failure.BACKEND_UNAVAILABLE,
    503: Failure.BACKEND_UNAVAILABLE,
    504: Failure.BACKEND_UNAVAILABLE,
}


def classify(error: BaseException) -> Failure:  # noqa: PLR0911 – a table of causes, read from the top
    """Return the cause of a failed attempt to connect."""
    match error:
        case InvalidStatus():
            return _BY_STATUS.get(error.response.status_code, Failure.HTTP_STATUS)
        case NegotiationError():
            return Failure.SUBPROTOCOL_REFUSED
        case InvalidURI():
            return Failure.ADDRESS_INVALID
        case InvalidHandshake():
            return Failure.HANDSHAKE_FAILED
        case ssl.SSLCertVerificationError():
            return Failure.CERTIFICATE_INVALID
        case ssl.SSLError():
            return _tls(error)
        case TimeoutError():
            return Failure.TIMEOUT
        case socket.gaierror():
            return Failure.NAME_UNKNOWN
        case ConnectionRefusedError():
            return Failure.CONNECTION_REFUSED
        case ConnectionError() | EOFError():
            return Failure.CONNECTION_LOST
        case OSError():
            # Several addresses of one name fail together; asyncio then only keeps the texts.
            return Failure.CONNECTION_REFUSED if "refused" in str(error).lower() else Failure.UNREACHABLE
        case _:
            return Failure.HANDSHAKE_FAILED


# OpenSSL's X509_V_ERR_… (openssl-verification-options(1)): what is wrong with the server's certificate.
_BY_VERIFY_CODE = {
    9: "certificate_early",
    10: "certificate_expired",
    18: "certificate_self_signed",
    19: "certificate_unknown",
    20: "certificate_unknown",
    21: "certificate_unknown",
    62: "certificate_name",
    64: "certificate_name",
}
_REDIRECTS = range(300, 400)


def refine(failure: Failure, error: BaseException, step: Step) -> str:
    """Return the cause as the steps to the backend tell it: what the failure is at this very step."""
    match failure:
        case Failure.CERTIFICATE_INVALID:
            return _BY_VERIFY_CODE.get(getattr(error, "verify_code", 0), failure.value)
        case Failure.TLS_VERSION | Failure.TLS_CIPHER | Failure.TLS_FAILED:
            return _alert(failure, (getattr(error, "reason", "") or "").upper())
        case Failure.TIMEOUT:
            return f"timeout_{step.value}"
        case Failure.CONNECTION_LOST:
            return f"lost_{step.value}"
        case Failure.HTTP_STATUS if isinstance(error, InvalidStatus) and error.response.status_code in _REDIRECTS:
            return "redirected"
    return failure.value


def _alert(failure: Failure, reason: str) -> str:
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason:
        # What came is no TLS at all: usually an HTTP answer.
        return "tls_not_spoken"
    if "CERTIFICATE_REQUIRED" in reason:
        return "own_certificate_wanted"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return "own_certificate_refused"
    return failure.value


def _tls(error: ssl.SSLError) -> Failure:
    reason = (error.reason or "").upper()
    if "VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return Failure.TLS_VERSION
    if "CIPHER" in reason or "HANDSHAKE_FAILURE" in reason:
        return Failure.TLS_CIPHER
    return Failure.TLS_FAILED
