"""User profile: password and advanced settings."""

from django import forms
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from station import clock
from station.domain.commands import Origin
from station.services import accounts
from station.services.passwords import MAXIMUM_LENGTH
from station.ui import words
from station.web import own_password, setting_labels, sign_in_rows
from station.web.requests import signed_in


def _password(label: object, autocomplete: str) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, max_length=MAXIMUM_LENGTH, strip=False, widget=widget)  # type: ignore[arg-type]


class NewPasswordForm(forms.Form):
    """A new password, twice."""

    new = _password(gettext_lazy("New password"), "new-password")
    repeat = _password(gettext_lazy("New password (repeat)"), "new-password")

    def clean(self) -> None:
        """Refuse two different new passwords."""
        given = self.cleaned_data
        if "new" in given and "repeat" in given and given["new"] != given["repeat"]:
            self.add_error("repeat", _("The two new passwords differ."))


class PasswordForm(NewPasswordForm):
    """Old password, and the new one twice."""

    old = _password(gettext_lazy("Old password"), "current-password")
    field_order = ("old", "new", "repeat")

    def clean(self) -> None:
        """Refuse the old password as the new one, too."""
        super().clean()
        if "new" in self.cleaned_data and self.cleaned_data["new"] == self.cleaned_data.get("old"):
            self.add_error("new", _("The new password is the old one."))


@sensitive_post_parameters("old", "new", "repeat")
@require_http_methods(["GET", "POST"])
def profile(request: HttpRequest) -> HttpResponse:
    """Show the profile; change the password."""
    user = signed_in(request)
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _change(request, user, form):
        messages.success(request, _("The password has been changed. All other sessions have ended."))
        return redirect("dashboard")
    status, role = 400 if form.errors else 200, accounts.role_of(user)
    return render(
        request,
        "pages/profile.html",
        {
            "form": form,
            "settings": accounts.profile_of(user),
            "sign_ins": sign_in_rows.rows(request, user),
            "role": words.word(words.ROLES, role.name),
            "expert_only": list(setting_labels.expert_only(role)),
            "shows_keys": setting_labels.shows_keys(role),
        },
        status=status,
    )


@require_POST
def advanced(request: HttpRequest) -> HttpResponse:
    """Switch between default and expert settings."""
    accounts.profile_of(signed_in(request)).show_expert(request.POST.get("advanced") == "expert")
    messages.success(request, _("Saved."))
    return redirect("profile")


@require_POST
def keep_password(request: HttpRequest) -> HttpResponse:
    """Keep the sticker's password; no page suggests another one any more."""
    accounts.keep_factory_password(signed_in(request), at=clock.now())
    messages.success(request, _("The password of the sticker stays. You can change it here at any time."))
    return redirect("profile")


def _change(request: HttpRequest, user: User, form: PasswordForm) -> bool:
    try:
        own_password.check(request, form.cleaned_data["old"])
    except own_password.TooManyAttempts as delay:
        form.add_error(None, str(delay))
        return False
    except own_password.WrongPassword:
        form.add_error("old", _("The old password is wrong."))
        return False
    try:
        accounts.set_password(user, form.cleaned_data["new"], origin=Origin.WEB, at=clock.now())
    except ValidationError as refusal:
        form.add_error("new", refusal)
        return False
    update_session_auth_hash(request, user)
    return True
