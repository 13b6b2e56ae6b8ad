"""Asking somebody who is signed in for their password again, before what could give the station away."""

from django.http import HttpRequest
from django.utils.translation import gettext as _

from station import clock
from station.services import accounts, sign_in_delays
from station.ui import format as formats
from station.web.requests import signed_in


class WrongPassword(Exception):
    """It is not the password; the text says so to the person."""


class TooManyAttempts(WrongPassword):
    """It was wrong too often; the text says how long to wait."""


def check(request: HttpRequest, password: str) -> None:
    """Return when it is the password of whoever is signed in. Raises WrongPassword, with growing delays."""
    user, address = signed_in(request), request.META.get("REMOTE_ADDR", "")
    account = f"{user.username} (change)"
    try:
        sign_in_delays.claim_attempt(account=account, address=address, at=clock.now())
    except sign_in_delays.SignInDelayed as delay:
        text = _("Too many attempts. Try again in %(wait)s.") % {"wait": formats.wait(delay.wait_s)}
        raise TooManyAttempts(text) from delay
    if not accounts.verify_password(user, password):
        raise WrongPassword(_("Your password is wrong. Nothing was changed."))
    sign_in_delays.forget(account=account, address=address)
