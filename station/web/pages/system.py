"""Restart the daemon, reboot the system: asked for twice, with the sessions that would end."""

from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from station import clock
from station.domain.commands import Reset
from station.domain.file_jobs import Step
from station.host import for_settings
from station.host.dbus.bus import ServiceRefused
from station.host.ports import Inhibitor
from station.models import ChargingSession
from station.services.file_jobs import local
from station.ui import computer_words
from station.ui import format as formats
from station.web import present
from station.web.pages import health
from station.web.requests import say, submit
from whitelist import editing

# How long it usually takes until the pages answer again; whoever has no JavaScript waits that long.
_RESTART_S, _REBOOT_S = 30, 120


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
    command = Reset(hard=False, stop_sessions=False)
    return _reset(request, command, title=_("The daemon is restarting"), usually_s=_RESTART_S)


@require_http_methods(["GET", "POST"])
def reboot(request: HttpRequest) -> HttpResponse:
    """Restart the computer and the controllers; sessions end."""
    obstacles, problem = _obstacles()
    if request.method == "GET" or obstacles or problem:
        context = {
            "sessions": _running(),
            "deleted_cards": editing.deleted_count(),
            "obstacles": obstacles,
            "problem": problem,
            "is_refused": request.method == "POST",
        }
        return render(request, "pages/system/reboot.html", context, status=409 if request.method == "POST" else 200)
    # OCPP 1.6 section 7.36: "Reboot" is the reason of a restart the backend has not asked for.
    command = Reset(hard=True, reason="Reboot")
    return _reset(request, command, title=_("The system is restarting"), usually_s=_REBOOT_S)


def _obstacles() -> tuple[tuple[Inhibitor, ...], str]:
    """Return what keeps the computer from restarting: programs, or why nobody can be asked."""
    update = local.update_job()
    if update is not None and update.finished_at is None and update.step == Step.INSTALLING:
        return (Inhibitor(who=_("Update"), why=_("The new version is being written.")),), ""
    try:
        return for_settings().power.inhibitors(), ""
    except ServiceRefused as refusal:
        return (), computer_words.refused(refusal)


def _reset(request: HttpRequest, command: Reset, *, title: str, usually_s: int) -> HttpResponse:
    outcome = submit(request, command)
    if not outcome.succeeded:
        messages.error(request, say(outcome))
        return redirect("dashboard")
    context = {"title": title, "run": health.run(), "usually_s": usually_s, "usually": formats.wait(usually_s)}
    return render(request, "pages/system/restarting.html", context)


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
