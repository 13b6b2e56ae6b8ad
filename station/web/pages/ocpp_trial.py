"""Communication – OCPP: new settings of the connection on trial, before they replace those that work."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from station import clock
from station.domain.backend_ladder import Observation
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.services import configuration
from station.services.messages import ConfigurationChanged, send_to_control_loop
from station.ui import problems
from station.web import backend_trials, ladder_view, present
from station.web.present import Present
from station.web.requests import signed_in

# The OCPP process gives an attempt fifteen seconds, and another five to show a certificate it does not trust.
_LONGEST = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class _Result:
    """How a trial stands: under_way, works, fails or lost (nobody has answered)."""

    state: str
    tried: Observation | None = None


@require_GET
def trial(request: HttpRequest) -> HttpResponse:
    """Show how far the trial has come, and what came of it."""
    held = backend_trials.current(request)
    if held is None:
        return redirect("ocpp")
    trial_id, began_at, is_sent = held
    now = present.look(clock.now())
    result = _result(trial_id, began_at, now) if is_sent else _Result(state="lost")
    if result.state == "works":
        backend_trials.forget(request)
        send_to_control_loop(ConfigurationChanged())
        if result.tried is not None and result.tried.stopped_early:
            messages.success(request, _("The server can be reached. The settings are saved."))
            messages.info(
                request,
                _(
                    "Whether it takes the station was not tried, because that would have ended the connection in "
                    "force: it shows below once the station has connected anew."
                ),
            )
        else:
            messages.success(request, _("The connection works. The settings are saved."))
            messages.info(request, _("The station connects to the server anew."))
        return _go_to_ocpp(request)
    if result.state == "lost" and _is_in_force(backend_trials.settings(request)):
        # The OCPP process ended after it had saved them, or somebody else's trial has taken the place of this one.
        backend_trials.forget(request)
        messages.success(request, _("Saved."))
        return _go_to_ocpp(request)
    tried = result.tried
    return render(
        request,
        "pages/communication/ocpp_trial.html",
        {
            "state": result.state,
            "ladder": ladder_view.of_trial(tried, now=now.at, zone=now.zone) if tried is not None else None,
            "address": backend_trials.settings(request).get("/ocpp/url") or configuration.get("/ocpp/url"),
        },
    )


@require_POST
def save(request: HttpRequest) -> HttpResponse:
    """Save the settings although they were not found to work."""
    wanted = backend_trials.settings(request)
    if not wanted:
        return redirect("ocpp")
    try:
        configuration.change(wanted, origin=Origin.WEB, actor=signed_in(request).get_username(), at=clock.now())
    except ConfigurationRefused as refusal:
        for problem in refusal.problems:
            messages.error(request, f"{problem.key}: {problems.say(problem.code, problem.data)}")
        return redirect("ocpp")
    backend_trials.forget(request)
    send_to_control_loop(ConfigurationChanged())
    messages.success(request, _("Saved."))
    messages.info(request, _("The station connects to the server anew."))
    return redirect("ocpp")


@require_POST
def drop(request: HttpRequest) -> HttpResponse:
    """Give the settings up."""
    backend_trials.forget(request)
    messages.info(request, _("Nothing was changed."))
    return redirect("ocpp")


def _go_to_ocpp(request: HttpRequest) -> HttpResponse:
    """Lead to the OCPP page, a page that polls with htmx, too."""
    answer: HttpResponse = redirect("ocpp")
    if request.headers.get("HX-Request"):
        answer = HttpResponse(headers={"HX-Redirect": answer["Location"]})
    return answer


def _is_in_force(wanted: dict[str, str]) -> bool:
    return bool(wanted) and all(configuration.get(key) == value for key, value in wanted.items())


def _result(trial_id: str, began_at: datetime, now: Present) -> _Result:
    backend = now.backend
    tried = backend.tried if backend is not None and backend.tried_id == trial_id else None
    if tried is None or not tried.is_over:
        state = "lost" if now.at - began_at > _LONGEST else "under_way"
        return _Result(state=state, tried=tried)
    return _Result(state="fails" if tried.failure else "works", tried=tried)
