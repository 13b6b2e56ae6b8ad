"""The steps to the backend, from its name to the WebSocket, as the OCPP page shows them, too."""

import asyncio
import ssl
from collections.abc import Iterator
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import DatabaseError
from django.utils.translation import gettext as _

from ocpp_client.connection import endpoint
from ocpp_client.connection.attempt import Attempt
from ocpp_client.connection.endpoint import Endpoint
from ocpp_client.connection.socket import OPENING_FAILURES, open_proven_first
from station import clock
from station.domain.backend_ladder import Observation, Rung, Verdict, ladder
from station.domain.link_security import LinkKind
from station.host.logs import mask_secrets
from station.processes.checkup.finding import Finding, Level, warning
from station.services import configuration, live
from station.services.identity import IdentityFileBroken
from station.ui import ladder_words

_TIMEOUT_S = 15.0
_LEVELS = {Verdict.BAD: Level.PROBLEM, Verdict.WARNING: Level.WARNING}


def findings() -> Iterator[Finding]:
    """Check each step, unless the running station is connected already."""
    subject = _("backend")
    try:
        if not settings.DATA.has_database:
            return
        target = endpoint.configured()
    except (DatabaseError, IdentityFileBroken):
        # Other checks say so.
        return
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
    trusted, accepted = endpoint.trusted_tls_context(target), endpoint.accepted_tls_context(target)
    attempt = Attempt(target)
    asyncio.run(_open(target, trusted, accepted, attempt))
    zone = configuration.zone()
    for rung in ladder(attempt.seen, None, now=clock.now()):
        if rung.verdict in {Verdict.GOOD, Verdict.WARNING, Verdict.BAD}:
            yield _finding(subject, rung, attempt.seen, zone)


async def _open(
    target: Endpoint, trusted: ssl.SSLContext | None, accepted: ssl.SSLContext | None, attempt: Attempt
) -> None:
    try:
        opened, _link = await open_proven_first(target, trusted, accepted, attempt, open_timeout_s=_TIMEOUT_S)
    except OPENING_FAILURES:
        # It stands in the attempt.
        return
    await opened.close()


def _finding(subject: str, rung: Rung, seen: Observation, zone: ZoneInfo) -> Finding:
    measured = " · ".join(ladder_words.measured(rung, seen, None, now=clock.now(), zone=zone))
    sentence = ladder_words.sentence(rung, seen)
    level = _LEVELS.get(rung.verdict, Level.OK)
    is_remedy = level is not Level.OK
    return Finding(
        subject=f"{subject} · {ladder_words.step(rung.step)}",
        level=level,
        text=measured or (ladder_words.verdict(rung.verdict) if is_remedy else sentence),
        remedy=sentence if is_remedy else "",
    )
