"""Words for the steps to the backend: what was measured, what is wrong, and what to do about it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from station.domain.backend_ladder import Observation, Registered, Rung, Step, Verdict
from station.ui import format as formats

Words = Mapping[str, "str | Promise"]

STEPS: Words = {
    Step.ADDRESS: gettext_lazy("Address"),
    Step.NAME: gettext_lazy("Name (DNS)"),
    Step.TCP: gettext_lazy("Network (TCP)"),
    Step.TLS: gettext_lazy("Encryption (TLS)"),
    Step.WEBSOCKET: gettext_lazy("WebSocket"),
    Step.LOGIN: gettext_lazy("Authentication of the station"),
    Step.BOOT: gettext_lazy("Registration (BootNotification)"),
    Step.HEARTBEAT: gettext_lazy("Heartbeat"),
}

VERDICTS: Words = {
    Verdict.GOOD: gettext_lazy("good"),
    Verdict.WARNING: gettext_lazy("with reservations"),
    Verdict.BAD: gettext_lazy("fails"),
    Verdict.NOT_REACHED: gettext_lazy("not reached"),
    Verdict.NOT_NEEDED: gettext_lazy("not needed"),
}

# What is wrong and what to do. Steps that are simply good need no words beside what was measured.
CAUSES: Words = {
    "under_way": gettext_lazy("The station is trying it at this moment."),
    "stopped_early": gettext_lazy(
        "Not tried: a second connection under the same chargebox ID would end the one that stands."
    ),
    "boot_later": gettext_lazy("Not tried: the station registers once the settings are saved."),
    "not_saved": gettext_lazy("The settings work, but could not be saved. Enter them again."),
    "name_unneeded": gettext_lazy("The address names no host name, so no name server is asked."),
    "tls_internal": gettext_lazy("The connection does not leave the station's computer."),
    "tls_absent": gettext_lazy(
        "The connection is not encrypted: whoever is on the way can read and change everything. Ask the operator for "
        "an address that begins with wss://."
    ),
    "tls_unproven": gettext_lazy(
        "The connection is encrypted, but it is not proven who is at the other end. Add the operator's CA certificate "
        "and have the server's name checked."
    ),
    "tls_ends_soon": gettext_lazy(
        "The server's certificate ends soon. Unless the operator renews it, the station will no longer connect."
    ),
    "login_key": gettext_lazy("The server has accepted the authorization key."),
    "login_certificate": gettext_lazy("The server has accepted the station's certificate."),
    "login_unasked": gettext_lazy("The station shows no key, and the server has asked for none."),
    "boot_accepted": gettext_lazy("The server has accepted the station."),
    "boot_pending": gettext_lazy(
        "The server has not decided yet. The station asks again by itself; have the operator release it in the backend."
    ),
    "boot_rejected": gettext_lazy(
        "The server rejects the station. Have the operator create it in the backend under exactly this chargebox ID."
    ),
    "boot_unanswered": gettext_lazy(
        "The server does not answer BootNotification. The station asks again by itself; if it stays so, ask the "
        "operator of the backend."
    ),
    "closed_before_boot": gettext_lazy(
        "The server closed the connection before it had accepted the station. Usually it does not know the chargebox "
        "ID: have it compared letter by letter in the backend."
    ),
    "heartbeat_answered": gettext_lazy("The server answers regularly."),
    "heartbeat_unasked": gettext_lazy("No heartbeats are sent (HeartbeatInterval is 0)."),
    "heartbeat_late": gettext_lazy(
        "The server has not answered the last heartbeats. The station connects anew when the connection is dead; if it "
        "stays so, ask the operator of the backend."
    ),
    "no_backend": gettext_lazy("No server is set. Enter the address you have from the operator."),
    "network_down": gettext_lazy("The network is down. Plug in the network cable or check the mobile connection."),
    "address_invalid": gettext_lazy("The address cannot be used. It looks like wss://backend.example.com/ocpp."),
    "name_unknown": gettext_lazy(
        "The name %(host)s is not known. Check its spelling, and the name server (DNS) under Network – Interfaces."
    ),
    "timeout_name": gettext_lazy(
        "The name server does not answer. Check the DNS address under Network – Interfaces, and the internet access."
    ),
    "connection_refused": gettext_lazy(
        "%(host)s answers, but nothing listens at port %(port)s. Check the port in the address; otherwise the backend "
        "is down at the moment."
    ),
    "unreachable": gettext_lazy(
        "There is no way to %(host)s. Check the network cable, the gateway and the mobile connection."
    ),
    "timeout_tcp": gettext_lazy(
        "%(host)s does not answer at port %(port)s. Usually a firewall blocks the port, or the mobile contract (APN) "
        "does not lead to this server."
    ),
    "lost_tcp": gettext_lazy("The connection broke at once. A firewall on the way may be cutting it."),
    "certificate_invalid": gettext_lazy(
        "The server's certificate is not valid. Ask the operator for a valid one, or add his CA certificate."
    ),
    "certificate_early": gettext_lazy(
        "By the station's clock the server's certificate is not valid yet. Usually the clock is wrong: set it under "
        "Station – Date/Time."
    ),
    "certificate_expired": gettext_lazy(
        "By the station's clock the server's certificate has expired. If the clock is right, the operator has to renew "
        "the certificate."
    ),
    "certificate_self_signed": gettext_lazy(
        "The server has signed its certificate itself. Add that certificate below as a CA certificate if it is the "
        "right server."
    ),
    "certificate_unknown": gettext_lazy(
        "The CA that has issued the server's certificate is not known here. Add the operator's CA certificate below; "
        "if it is there, the server does not send its intermediate certificates."
    ),
    "certificate_name": gettext_lazy(
        "The certificate is for another name than %(host)s. Enter the address exactly as the operator has given it."
    ),
    "own_certificate_wanted": gettext_lazy(
        "The server wants a certificate of the station. Choose “Certificates on both sides” and have one installed by "
        "the backend."
    ),
    "own_certificate_refused": gettext_lazy(
        "The server refuses the station's certificate. Have the operator issue a new one."
    ),
    "tls_version": gettext_lazy(
        "The server speaks no up-to-date TLS version. The operator has to offer TLS 1.2 or 1.3."
    ),
    "tls_cipher": gettext_lazy(
        "Station and server have no encryption in common. The operator has to offer modern cipher suites for TLS 1.2 "
        "or 1.3."
    ),
    "tls_not_spoken": gettext_lazy(
        "What answers at port %(port)s speaks no TLS. Check the port, or enter ws:// if the operator wants no "
        "encryption."
    ),
    "tls_failed": gettext_lazy("The encrypted connection cannot be made. Ask the operator of the backend."),
    "timeout_tls": gettext_lazy(
        "The server does not take up the encryption. Check the port; what listens there may be something else."
    ),
    "lost_tls": gettext_lazy(
        "The server broke the connection off when the encryption began. Check the port; a firewall may be cutting it."
    ),
    "unauthorized": gettext_lazy(
        "The server refuses the station. Compare chargebox ID and authorization key with what the backend has on "
        "record."
    ),
    "identity_unknown": gettext_lazy(
        "The server knows no such address. Check the path in the address, and whether the chargebox ID is created in "
        "the backend."
    ),
    "backend_unavailable": gettext_lazy(
        "The backend is out of service at the moment. The station keeps trying by itself."
    ),
    "redirected": gettext_lazy(
        "The server points to another address. The station does not follow, because its key would go there: ask the "
        "operator for the final address."
    ),
    "http_status": gettext_lazy(
        "There is a web server, but it does not offer OCPP at this address. Check the path in the address."
    ),
    "subprotocol_refused": gettext_lazy(
        "The server does not agree to OCPP 1.6 (subprotocol ocpp1.6). Ask the operator for the address for OCPP 1.6."
    ),
    "handshake_failed": gettext_lazy("What answers at this address is no OCPP server. Check port and path."),
    "timeout_websocket": gettext_lazy(
        "The server takes the connection, but does not answer. Check port and path, or try again later."
    ),
    "lost_websocket": gettext_lazy(
        "The server closed the connection without an answer. Check port and path; with wss:// the port is usually 443."
    ),
    "closed": gettext_lazy("The server has closed the connection. The station comes back by itself."),
    "connection_lost": gettext_lazy("The connection broke. The station comes back by itself."),
    "message_too_big": gettext_lazy(
        "The server has sent a message of more than 2 MB, so the connection was ended. Ask the operator of the backend."
    ),
    "pong_missing": gettext_lazy(
        "The server had fallen silent, so the connection was ended. The station comes back by itself."
    ),
}


def step(code: Step) -> str:
    """Name a step."""
    return str(STEPS[code])


def verdict(code: Verdict) -> str:
    """Return a verdict in words."""
    return str(VERDICTS[code])


def sentence(rung: Rung, seen: Observation) -> str:
    """Say what is wrong at a step and what to do; empty where there is nothing to say."""
    text = CAUSES.get(rung.cause)
    if text is None:
        return "" if rung.verdict is not Verdict.BAD else rung.cause
    return str(text) % {"host": seen.host, "port": seen.port} if "%(" in str(text) else str(text)


def measured(
    rung: Rung, seen: Observation, registered: Registered | None, *, now: datetime, zone: ZoneInfo
) -> tuple[str, ...]:
    """Return what was measured at a step, piece by piece."""
    if rung.verdict is Verdict.NOT_REACHED and rung.cause != "under_way":
        return ()
    return tuple(part for part in _measured(rung, seen, registered or Registered(), now, zone) if part)


def _measured(rung: Rung, seen: Observation, registered: Registered, now: datetime, zone: ZoneInfo) -> Iterator[str]:
    match rung.step:
        case Step.ADDRESS:
            yield seen.url
        case Step.NAME if rung.verdict is not Verdict.NOT_NEEDED:
            yield f"{seen.host} → {', '.join(seen.addresses)}" if seen.addresses else seen.host
            yield _milliseconds(seen.name_ms)
        case Step.TCP:
            yield f"{seen.peer or seen.host}:{seen.port}"
            yield _milliseconds(seen.tcp_ms)
        case Step.TLS:
            yield from _encryption(rung, seen, now, zone)
        case Step.WEBSOCKET:
            yield from (_status(seen), seen.subprotocol, _milliseconds(seen.websocket_ms))
        case Step.LOGIN if rung.verdict is Verdict.BAD:
            yield _status(seen)
        case Step.BOOT | Step.HEARTBEAT:
            yield from _registration(rung.step, registered, now)
    if rung.verdict is Verdict.BAD and seen.detail:
        yield _("The report: “%(detail)s”") % {"detail": seen.detail}


def _registration(step: Step, registered: Registered, now: datetime) -> Iterator[str]:
    if step is Step.BOOT:
        yield _milliseconds(registered.boot_ms)
        if registered.interval_s:
            yield _("heartbeat every %(wait)s") % {"wait": formats.wait(registered.interval_s)}
    elif registered.answered_at is not None:
        age_s = max(0, round((now - registered.answered_at).total_seconds()))
        yield _("last answer %(wait)s ago") % {"wait": formats.wait(age_s)}


def _status(seen: Observation) -> str:
    return f"HTTP {seen.http_status}" if seen.http_status else ""


def _encryption(rung: Rung, seen: Observation, now: datetime, zone: ZoneInfo) -> Iterator[str]:
    yield " · ".join(filter(None, (seen.tls_version, seen.tls_cipher)))
    yield _milliseconds(seen.tls_ms) if seen.uses_tls else ""
    certificate = seen.certificate
    if certificate is not None:
        yield _("certificate for %(subject)s, issued by %(issuer)s") % {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
        }
        yield _("valid from %(begin)s to %(end)s") % {
            "begin": formats.moment(certificate.not_before, zone),
            "end": formats.moment(certificate.not_after, zone),
        }
        if certificate.not_after > now:
            days = (certificate.not_after - now).days
            yield ngettext("%(days)d day left", "%(days)d days left", days) % {"days": days}
    if rung.verdict is Verdict.BAD:
        yield _("the station's clock: %(moment)s") % {"moment": formats.moment(now, zone)}


def _milliseconds(value: int | None) -> str:
    return "" if value is None else f"{value}\N{NO-BREAK SPACE}ms"
