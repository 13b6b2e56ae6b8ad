"""Sign in, sign out, language."""

from django import forms
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import check_for_language, gettext_lazy
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from station import clock
from station.services import accounts, configuration, identity, sign_in_delays
from station.services.passwords import MAXIMUM_LENGTH
from station.ui import format as formats
from station.web import login_sessions

_LANGUAGE_COOKIE_S = 365 * 86400


class LoginForm(forms.Form):
    """User name and password."""

    username = forms.CharField(
        label=gettext_lazy("User name"),
        max_length=150,
        initial=accounts.ADMIN,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        max_length=MAXIMUM_LENGTH,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Sign a user in, with growing delays after failures."""
    if request.user.is_authenticated:
        return redirect(_next(request))
    form = LoginForm(request.POST or None)
    status = 200
    if request.method == "POST":
        try:
            user = _signed_in(request, form)
        except sign_in_delays.SignInDelayed as delay:
            status = 429
            form.add_error(None, _("Too many attempts. Try again in %(wait)s.") % {"wait": formats.wait(delay.wait_s)})
        except accounts.SignInRefused:
            status = 403
            form.add_error(None, _("User name or password is wrong."))
        else:
            login_sessions.begin(request, user, at=clock.now())
            return redirect(_next(request))
    shown = {"form": form, "next": request.GET.get("next", ""), "station": _station()}
    shown["has_ended"] = request.method == "GET" and "ended" in request.GET
    return render(request, "pages/login.html", shown, status=status)


def _station() -> list[tuple[str, str]]:
    """Return which station this is. A serial number that is still the password is told to nobody here."""
    known = identity.load()
    lines = [(_("Model"), f"{known.vendor} {known.model}".strip())]
    serial_opens = not known.has_factory_password and known.accepts_first_password(known.serial)
    if not (serial_opens and accounts.factory_password_holds()):
        lines += [
            (_("Serial number"), known.serial),
            (_("Chargebox ID"), configuration.get("/ocpp/chargeBoxIdentity")),
        ]
    return [(label, value) for label, value in lines if value]


def _signed_in(request: HttpRequest, form: LoginForm) -> User:
    if not form.is_valid():
        raise accounts.SignInRefused
    return accounts.sign_in(
        account=form.cleaned_data["username"],
        password=form.cleaned_data["password"],
        address=request.META.get("REMOTE_ADDR", ""),
        at=clock.now(),
    )


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect(settings.LOGIN_URL)


@require_POST
def language(request: HttpRequest) -> HttpResponse:
    """Remember the language for this browser."""
    response = redirect(_safe(request, request.POST.get("next", "")))
    chosen = request.POST.get("language", "")
    if chosen in dict(settings.LANGUAGES) and check_for_language(chosen):
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            chosen,
            max_age=_LANGUAGE_COOKIE_S,
            secure=settings.SERVES_HTTPS,
            httponly=True,
            samesite="Strict",
        )
    return response


def _next(request: HttpRequest) -> str:
    return _safe(request, request.GET.get("next", ""))


def _safe(request: HttpRequest, target: str) -> str:
    safe = url_has_allowed_host_and_scheme(
        target, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return target if safe else resolve_url(settings.LOGIN_REDIRECT_URL)
