"""Restart the daemon, reboot the system: asked for twice, with the sessions that would end."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from station import clock
from station.domain.commands import Reset
from station.models import ChargingSession
from station.ui import format as formats
from station.web import present
from station.web.requests import say, submit


@dataclass(frozen=True, kw_only=True)
class EndingSession:
    """A session that a reboot ends."""

    connector: int
    card: str
    since: str
    energy: str


@require_http_methods(["GET", "POST"])
def restart(request: HttpRequest) -> HttpResponse:
    """Restart the station's software; sessions survive."""
    if request.method == "GET":
        return render(request, "pages/system/restart.html", {"sessions": _running()})
    return _reset(request, Reset(hard=False, stop_sessions=False), title=_("The daemon is restarting"))


@require_http_methods(["GET", "POST"])
def reboot(request: HttpRequest) -> HttpResponse:
    """Restart the computer and the controllers; sessions end."""
    if request.method == "GET":
        return render(request, "pages/system/reboot.html", {"sessions": _running()})
    # OCPP 1.6 section 7.36: "Reboot" is the reason of a restart the backend has not asked for.
    return _reset(request, Reset(hard=True, reason="Reboot"), title=_("The system is restarting"))


def _reset(request: HttpRequest, command: Reset, *, title: str) -> HttpResponse:
    outcome = submit(request, command)
    if not outcome.succeeded:
        messages.error(request, say(outcome))
        return redirect("dashboard")
    return render(request, "pages/system/restarting.html", {"title": title})


def _running() -> list[EndingSession]:
    zone = present.look(clock.now()).zone
    return [
        EndingSession(
            connector=session.connector_id,
            card=formats.card(session.id_tag),
            since=formats.moment(session.started_at, zone),
            energy=formats.kilowatt_hours(session.meter_last_wh - session.meter_start_wh),
        )
        for session in ChargingSession.objects.running().order_by("connector_id")
    ]
