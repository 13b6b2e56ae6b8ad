"""A forgotten password: what to do, and the two steps at the service port."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from station import clock
from station.services import accounts, password_recovery
from station.services.password_recovery import RecoveryIsClosed, State
from station.web.pages.profile import NewPasswordForm
from station.web.service_port import is_from_service_port


@sensitive_post_parameters("new", "repeat")
@require_http_methods(["GET", "POST"])
def recovery(request: HttpRequest) -> HttpResponse:
    """Say how to get in again; at the service port, take the new password when the power was off."""
    at_service_port, now = is_from_service_port(request), clock.stamp()
    # How far a recovery is, is nobody else's business.
    state = password_recovery.state(now) if at_service_port else State.NONE
    form = NewPasswordForm(request.POST or None)
    if request.method == "POST":
        if state is not State.OPEN:
            return _too_late(request)
        if form.is_valid():
            try:
                password_recovery.replace_password(
                    form.cleaned_data["new"], address=request.META["REMOTE_ADDR"], now=now
                )
            except RecoveryIsClosed:
                return _too_late(request)
            except ValidationError as refusal:
                form.add_error("new", refusal)
            else:
                messages.success(request, _("The new password is valid. All sessions have ended."))
                return redirect("login")
    return render(
        request,
        "pages/recovery.html",
        {
            "form": form,
            "at_service_port": at_service_port,
            "state": state.value,
            "account": accounts.ADMIN,
            "minutes_to_switch": int(password_recovery.REQUEST_HOLDS.total_seconds() // 60),
            "minutes_to_confirm": int(password_recovery.WINDOW.total_seconds() // 60),
        },
        status=400 if form.errors else 200,
    )


@require_POST
def begin(request: HttpRequest) -> HttpResponse:
    """Take a request for a new password from the service port."""
    if is_from_service_port(request):
        password_recovery.request(address=request.META["REMOTE_ADDR"], now=clock.stamp())
    else:
        messages.error(request, _("This is possible at the service port only."))
    return redirect("recovery")


def _too_late(request: HttpRequest) -> HttpResponse:
    messages.error(
        request,
        _("No new password can be set now: begin at the service port, then switch the power off and on."),
    )
    return redirect("recovery")
