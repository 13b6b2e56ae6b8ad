"""Why there is no connection: one code per cause, for the log, the page and the choice of what to try next."""

import socket
import ssl
from enum import StrEnum

from websockets.exceptions import InvalidHandshake, InvalidStatus, InvalidURI, NegotiationError


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


def _tls(error: ssl.SSLError) -> Failure:
    reason = (error.reason or "").upper()
    if "VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason:
        return Failure.TLS_VERSION
    if "CIPHER" in reason or "HANDSHAKE_FAILURE" in reason:
        return Failure.TLS_CIPHER
    return Failure.TLS_FAILED
