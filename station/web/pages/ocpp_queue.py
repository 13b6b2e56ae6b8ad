"""Communication – OCPP: what the server has not confirmed yet, and what was set aside because it refused it."""

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from station import clock
from station.domain.commands import Origin
from station.models import ChargingSession, OutboxMessage
from station.services import configuration, outbox
from station.services.messages import OutboxChanged, send_to_ocpp_sync
from station.ui import format as formats
from station.ui import words
from station.web.requests import signed_in

# More than anybody reads; the numbers above the lists count everything.
_MOST_SHOWN = 100


@dataclass(frozen=True, kw_only=True)
class WaitingRow:
    """What of a session waits; `session_id` is None for messages without one."""

    session_id: int | None
    session: str
    count: int
    oldest: str
    age: str


@dataclass(frozen=True, kw_only=True)
class AsideMessage:
    """A message that was set aside, and the server's words."""

    kind: str
    at: str
    refusals: int
    error: str


@dataclass(frozen=True, kw_only=True)
class AsideGroup:
    """What belongs together and is sent again together; `first_id` names it."""

    first_id: int
    session_id: int | None
    session: str
    messages: tuple[AsideMessage, ...]


@require_GET
def queue(request: HttpRequest) -> HttpResponse:
    """Show the queue."""
    now, zone = clock.now(), configuration.zone()
    found = outbox.waiting(_MOST_SHOWN)
    return render(
        request,
        "pages/communication/ocpp_queue.html",
        {
            "waiting": [_waiting(each, now, zone) for each in found],
            "waiting_count": outbox.owed(),
            "oldest": _age(now, found[0].oldest_at) if found else "",
            "aside": _groups(outbox.aside(_MOST_SHOWN), zone),
            "aside_count": outbox.set_aside_count(),
            "zone": zone.key,
        },
    )


@require_POST
def send_again(request: HttpRequest, message_id: int) -> HttpResponse:
    """Send a message that was set aside again, with everything of its session that was."""
    count = outbox.send_again(
        origin=Origin.WEB, actor=signed_in(request).get_username(), at=clock.now(), ids=[message_id]
    )
    if not count:
        messages.info(request, _("This message is not set aside any more."))
        return redirect("ocpp-queue")
    send_to_ocpp_sync(OutboxChanged())
    messages.success(
        request,
        ngettext(
            "%(count)d message is sent again, before all others.",
            "%(count)d messages are sent again, before all others.",
            count,
        )
        % {"count": count},
    )
    return redirect("ocpp-queue")


def _waiting(found: outbox.Waiting, now: datetime, zone: ZoneInfo) -> WaitingRow:
    return WaitingRow(
        session_id=found.session.pk if found.session else None,
        session=_session(found.session, zone),
        count=found.count,
        oldest=formats.moment(found.oldest_at, zone),
        age=_age(now, found.oldest_at),
    )


def _groups(rows: list[OutboxMessage], zone: ZoneInfo) -> list[AsideGroup]:
    groups = []
    for _key, members in groupby(rows, key=lambda row: (row.session_id, row.pk if row.session_id is None else 0)):
        together = list(members)
        groups.append(
            AsideGroup(
                first_id=together[0].pk,
                session_id=together[0].session_id,
                session=_session(together[0].session, zone),
                messages=tuple(
                    AsideMessage(
                        kind=words.word(words.FACT_KINDS, row.kind),
                        at=formats.moment(row.at, zone),
                        refusals=row.refusals,
                        error=row.last_error,
                    )
                    for row in together
                ),
            )
        )
    return groups


def _session(session: ChargingSession | None, zone: ZoneInfo) -> str:
    if session is None:
        return _("Without a session")
    return _("Charging point %(number)d, %(moment)s") % {
        "number": session.connector_id,
        "moment": formats.moment(session.started_at, zone),
    }


def _age(now: datetime, at: datetime) -> str:
    return formats.duration((now - at).total_seconds())
