"""The steps to the backend: name, TCP, TLS, WebSocket and subprotocol; the first that fails is reported."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _
from websockets.exceptions import InvalidStatus, WebSocketException

from ocpp_client.connection.endpoint import Endpoint, configured, tls_context
from ocpp_client.connection.failures import Failure, classify
from ocpp_client.connection.socket import open_socket
from station.domain.link_security import LinkKind
from station.host.logs import mask_secrets
from station.processes.checkup.finding import Finding, problem, warning
from station.services import live

_TIMEOUT_S = 10.0


def ladder() -> Iterator[Finding]:
    """Check each step, unless the running station is connected already."""
    subject = _("backend")
    if not settings.DATA.database.exists():
        return
    target = configured()
    if target is None:
        yield warning(subject, _("no address is set"), _("Set it: manage.py config set /ocpp/url=wss://…"))
        return
    present = live.backend()
    if present and present.connected:
        # A second connection under the same identity would displace the first one.
        if present.link == LinkKind.PLAIN:
            yield warning(
                subject,
                _("connected to %(url)s without encryption: whoever is on the way can read and change everything")
                % {"url": mask_secrets(target.base_url)},
                _("Set an address of the backend that begins with wss://."),
            )
            return
        yield Finding(subject=subject, text=_("connected to %(url)s") % {"url": mask_secrets(target.base_url)})
        return
    yield from _climb(subject, target)


def _climb(subject: str, target: Endpoint) -> Iterator[Finding]:
    parts = urlsplit(target.url)
    host, port = parts.hostname or "", parts.port or (443 if target.uses_tls else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield problem(
            subject,
            _("the name %(host)s is unknown (%(reason)s)") % {"host": host, "reason": error.strerror},
            _("Check the spelling of the address and the name server of this network."),
        )
        return
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    yield Finding(subject=f"{subject} · DNS", text=f"{host} → {addresses}")
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as plain:
            yield Finding(subject=f"{subject} · TCP", text=f"{host}:{port}")
            if target.uses_tls:
                yield from _shake_hands(subject, target, host, plain)
    except ssl.SSLError as error:
        yield problem(f"{subject} · TLS", str(error), _tls_remedy(error))
        return
    except OSError as error:
        yield problem(
            f"{subject} · TCP",
            _("%(host)s:%(port)d does not answer (%(reason)s)")
            % {"host": host, "port": port, "reason": error.strerror or error},
            _("Check the firewall, the mobile contract (APN) and whether the backend runs."),
        )
        return
    yield asyncio.run(_open(subject, target))


def _shake_hands(subject: str, target: Endpoint, host: str, plain: socket.socket) -> Iterator[Finding]:
    context = tls_context(target)
    if context is not None:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            yield Finding(subject=f"{subject} · TLS", text=str(secure.version()))


def _tls_remedy(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _("Install the certificate authority of the backend (/ocpp/caFile), and check the clock and the name.")
    return _("The backend must offer TLS 1.2 or 1.3 with a modern cipher suite.")


async def _open(subject: str, target: Endpoint) -> Finding:
    subject = f"{subject} · WebSocket"
    try:
        # Made in a thread, because it reads certificates from the database.
        context = await asyncio.to_thread(tls_context, target)
        opened = await open_socket(target, context)
    except (OSError, WebSocketException, TimeoutError) as error:
        return problem(subject, _reason(error), _remedy(classify(error)))
    await opened.close()
    return Finding(subject=subject, text=_("accepted, subprotocol %(name)s") % {"name": opened.subprotocol})


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        return _("refused with HTTP status %(status)d") % {"status": error.response.status_code}
    return str(error) or type(error).__name__


def _remedy(cause: Failure) -> str:
    match cause:
        case Failure.UNAUTHORIZED:
            return _("Check AuthorizationKey and SecurityProfile against what the backend has on record.")
        case Failure.IDENTITY_UNKNOWN:
            return _("Register the station's identity at the backend, or correct the path of the address.")
        case Failure.SUBPROTOCOL_REFUSED:
            return _("The address leads to a server that does not speak OCPP 1.6; ask for the right one.")
        case Failure.BACKEND_UNAVAILABLE:
            return _("The backend is down or busy; the station keeps trying by itself.")
    return _("Ask the operator of the backend; the station keeps trying by itself.")
