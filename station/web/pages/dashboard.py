"""Dashboard: the station's data, its connections, and a tile per charging point."""

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from station import clock
from station.domain.commands import Outcome, Refusal, StartSession, Status, StopSession, UnlockConnector
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.services import accounts, identity
from station.web import cards, facts, present, refusals
from station.web.requests import answer, signed_in, submit


@require_GET
def dashboard(request: HttpRequest) -> HttpResponse:
    """Show the whole station at a glance."""
    now, role = present.look(clock.now()), accounts.role_of(signed_in(request))
    return render(
        request,
        "pages/dashboard.html",
        {
            "facts": facts.about(now),
            "connections": facts.connections(now),
            "refusal": refusals.latest(now),
            "cards": [cards.for_connector(number, now, role) for number in now.connector_numbers],
        },
    )


class StartForm(forms.Form):
    """The card to charge for."""

    id_tag = forms.RegexField(r"^[ -~]+$", max_length=MAX_ID_TAG_LENGTH)


@require_POST
def start(request: HttpRequest, connector_id: int) -> HttpResponse:
    """Start a session for a card, which is checked first as at the reader."""
    form = StartForm(request.POST)
    if form.is_valid():
        outcome = submit(
            request,
            StartSession(id_tag=form.cleaned_data["id_tag"], connector_id=_existing(connector_id), authorize=True),
        )
    else:
        outcome = Outcome(status=Status.REJECTED, reason=Refusal.TAG_INVALID)
    return _reply(request, connector_id, outcome, _("Start requested."))


@require_POST
def stop(request: HttpRequest, connector_id: int) -> HttpResponse:
    """End the running session."""
    if (question := _question(request, _existing(connector_id))) is not None:
        return question
    outcome = submit(request, StopSession(connector_id=_existing(connector_id), reason="Local"))
    return _reply(request, connector_id, outcome, _("The session is being ended."))


@require_POST
def unlock(request: HttpRequest, connector_id: int) -> HttpResponse:
    """Open the lock; a running session ends first."""
    if (question := _question(request, _existing(connector_id))) is not None:
        return question
    outcome = submit(request, UnlockConnector(connector_id=_existing(connector_id)))
    return _reply(request, connector_id, outcome, _("Unlocked."))


def _question(request: HttpRequest, connector_id: int) -> HttpResponse | None:
    """Ask a browser without JavaScript what htmx has asked the others before they sent this."""
    if request.headers.get("HX-Request") or request.POST.get("confirmed"):
        return None
    now = present.look(clock.now())
    card = cards.for_connector(connector_id, now, accounts.role_of(signed_in(request)))
    if not card.stop_question:
        return None
    return render(request, "pages/stop.html", {"card": card})


def _existing(connector_id: int) -> int:
    if not 1 <= connector_id <= identity.load().connectors:
        raise Http404
    return connector_id


def _reply(request: HttpRequest, connector_id: int, outcome: Outcome, success: str) -> HttpResponse:
    return answer(
        request,
        element_id=f"connector-{connector_id}-answer",
        outcome=outcome,
        success=success,
        back="dashboard",
    )
