"""Software – Factory settings: what is reset and what stays, asked for with a word that has to be typed."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from station import clock
from station.domain.commands import Reset, Status
from station.host import for_settings
from station.host.power import MainProcessIsAway, RebootIsRefused
from station.services import configuration, factory_reset, identity
from station.services.factory_reset import SomebodyIsCharging, UpdateIsBeingInstalled
from station.web import own_password, session_views
from station.web.own_password import WrongPassword
from station.web.requests import say, signed_in, submit


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def factory(request: HttpRequest) -> HttpResponse:
    """Say what a reset does; order it."""
    if request.method == "GET":
        return _page(request)
    if request.POST.get("word", "").strip().casefold() != _word().casefold():
        return _page(request, wrong=_("Type the word %(word)s to confirm.") % {"word": _word()})
    try:
        own_password.check(request, request.POST.get("password", ""))
    except WrongPassword as refusal:
        return _page(request, wrong_password=str(refusal))
    keep = request.POST.get("messages", "keep") != "drop"
    try:
        factory_reset.order(keep_messages=keep, actor=signed_in(request).get_username(), at=clock.now())
    except SomebodyIsCharging:
        return _page(request, problem=_("Somebody is charging. Reset the station when the session has ended."))
    except UpdateIsBeingInstalled:
        return _page(request, problem=_("An update is being installed. Reset the station when that has ended."))
    except OSError as failure:
        return _page(request, problem=_("The disk refuses to be written: %(error)s") % {"error": failure.strerror})
    problem = _restart(request)
    if problem:
        factory_reset.withdraw()
        return _page(request, problem=problem)
    return render(request, "pages/software/resetting.html", {"has_sticker": identity.load().has_factory_password})


def _restart(request: HttpRequest) -> str:
    """Restart the computer; return why that was not possible."""
    outcome = submit(request, Reset(hard=True, reason="Reboot"))
    if outcome.succeeded:
        return ""
    if outcome.status is not Status.NO_ANSWER:
        return say(outcome)
    # Whoever resets a station that no longer works must not need its control loop for that.
    try:
        for_settings().power.reboot()
    except (MainProcessIsAway, RebootIsRefused) as refusal:
        return _("The computer refuses to restart: %(reason)s") % {"reason": refusal}
    return ""


def _page(request: HttpRequest, *, wrong: str = "", wrong_password: str = "", problem: str = "") -> HttpResponse:
    known = identity.load()
    return render(
        request,
        "pages/software/factory.html",
        {
            "word": _word(),
            "wrong": wrong,
            "wrong_password": wrong_password,
            "typed": request.POST.get("word", ""),
            "problem": problem,
            "messages_owed": factory_reset.undelivered(),
            "drop": request.POST.get("messages") == "drop",
            "serial": known.serial,
            "has_sticker": known.has_factory_password,
            "sessions": session_views.running(configuration.zone()),
        },
        status=422 if wrong or wrong_password or problem else 200,
    )


def _word() -> str:
    # Translators: the word somebody types to confirm a factory reset
    return pgettext("factory reset", "RESET")
