"""User management – Accounts: who may sign in at this page, with which role, and who is signed in now."""

from collections.abc import Callable
from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from station import clock
from station.domain.commands import Origin, Status
from station.domain.roles import NAMES, Role
from station.models import AuditEntry
from station.services import accounts as service
from station.services import configuration
from station.services.account_management import Editor, OwnAccount, StickersAccount
from station.services.passwords import MAXIMUM_LENGTH
from station.ui import format as formats
from station.ui import words
from station.web import login_sessions, sign_in_rows
from station.web.requests import signed_in

_ROLES = [(name, words.ROLES[role.name]) for role, name in NAMES.items()]


@dataclass(frozen=True, kw_only=True)
class AccountRow:
    """One account. `is_fixed`: the user of the sticker, or the reader's own: neither role nor access changes here."""

    id: int
    name: str
    role: str
    role_text: str
    state: str
    tone: str
    last_sign_in: str
    is_own: bool
    is_stickers: bool
    is_locked: bool

    @property
    def is_fixed(self) -> bool:
        """Whether role and access stay as they are."""
        return self.is_own or self.is_stickers


class AddForm(forms.Form):
    """A new account."""

    name = forms.CharField(
        label=gettext_lazy("User name"),
        max_length=150,
        help_text=gettext_lazy("Letters, digits and @ . + - _, for example: anna.berger"),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    role = forms.ChoiceField(label=gettext_lazy("Role"), choices=_ROLES, initial=NAMES[Role.OPERATOR])
    password = forms.CharField(
        label=gettext_lazy("One-time password"),
        max_length=MAXIMUM_LENGTH,
        strip=False,
        help_text=gettext_lazy(
            "At least 12 characters. Tell it to the person; it has to be changed at the first log-in."
        ),
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def accounts(request: HttpRequest) -> HttpResponse:
    """Show everybody; add somebody."""
    form = AddForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _add(request, form):
        messages.success(
            request,
            _("%(name)s may log in now, with the one-time password.") % {"name": form.cleaned_data["name"]},
        )
        return redirect("accounts")
    return _page(request, form)


@require_POST
def role(request: HttpRequest, account_id: int) -> HttpResponse:
    """Give somebody another role."""
    wanted = next((each for each, name in NAMES.items() if name == request.POST.get("role")), None)
    if wanted is None:
        raise Http404
    return _change(request, account_id, lambda editor, user: editor.give_role(user, wanted))


@sensitive_post_parameters("password")
@require_POST
def password(request: HttpRequest, account_id: int) -> HttpResponse:
    """Set a password for once."""
    return _change(
        request, account_id, lambda editor, user: editor.replace_password(user, request.POST.get("password", ""))
    )


@require_POST
def lock(request: HttpRequest, account_id: int) -> HttpResponse:
    """Lock an account, or unlock it."""
    if request.POST.get("locked") == "false":
        return _change(request, account_id, lambda editor, user: editor.unlock(user))
    return _change(request, account_id, lambda editor, user: editor.lock(user))


@require_POST
def delete(request: HttpRequest, account_id: int) -> HttpResponse:
    """Delete an account, once somebody has said that they mean it."""
    if request.POST.get("sure") != "true":
        messages.error(request, _("Nothing was deleted. Tick the box first, then press Delete."))
        return redirect("accounts")
    return _change(request, account_id, lambda editor, user: editor.delete(user))


@require_POST
def end_sign_in(request: HttpRequest) -> HttpResponse:
    """Sign one session out: one's own, or as an installer anybody's."""
    user, named = signed_in(request), request.POST.get("id", "")
    whose = None if service.role_of(user) is Role.INSTALLER else user
    found = login_sessions.listed(at=clock.now(), own_key=request.session.session_key, user=whose)
    sign_in = next((each for each in found if each.id == named), None)
    if sign_in is None:
        messages.info(request, _("This session has ended already."))
    else:
        _end(request, [sign_in])
        messages.success(request, _("Signed out."))
    return _back(request)


@require_POST
def end_other_sign_ins(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere else."""
    user = signed_in(request)
    found = login_sessions.listed(at=clock.now(), own_key=request.session.session_key, user=user)
    _end(request, [each for each in found if not each.is_own])
    messages.success(request, _("You are signed in here only."))
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    is_from_accounts = request.POST.get("from") == "accounts"
    return redirect("accounts" if is_from_accounts else "profile")


def _end(request: HttpRequest, sign_ins: list[login_sessions.SignIn]) -> None:
    for each in sign_ins:
        login_sessions.end(each)
        AuditEntry.objects.create(
            at=clock.now(),
            origin=Origin.WEB.value,
            actor=signed_in(request).get_username(),
            command="SignOut",
            data={"account": each.user.get_username(), "address": each.address},
            outcome=Status.ACCEPTED.value,
        )


def _editor(request: HttpRequest) -> Editor:
    return Editor(origin=Origin.WEB, actor=signed_in(request).get_username(), at=clock.now())


def _add(request: HttpRequest, form: AddForm) -> bool:
    wanted = next(each for each, name in NAMES.items() if name == form.cleaned_data["role"])
    try:
        _editor(request).add(form.cleaned_data["name"], form.cleaned_data["password"], wanted)
    except ValidationError as refusal:
        for field, reasons in _by_field(refusal).items():
            form.add_error(field, reasons)
        return False
    return True


def _by_field(refusal: ValidationError) -> dict[str, list[str]]:
    """Sort the reasons: those without a field are about the password, which is checked by itself."""
    if not hasattr(refusal, "error_dict"):
        return {"password": refusal.messages}
    return {"name": [text for reasons in refusal.message_dict.values() for text in reasons]}


def _change(request: HttpRequest, account_id: int, change: Callable[[Editor, User], None]) -> HttpResponse:
    user = get_object_or_404(User, pk=account_id)
    try:
        change(_editor(request), user)
    except StickersAccount:
        problem = _("The user admin belongs to the sticker: always an installer, never locked or deleted.")
    except OwnAccount:
        problem = _(
            "This is your own account. Another installer has to do that; your password you change in your profile."
        )
    except ValidationError as refusal:
        problem = " ".join(refusal.messages)
    else:
        messages.success(request, _("Saved."))
        return redirect("accounts")
    messages.error(request, f"{user.get_username()}: {problem}")
    return _page(request, AddForm(), status=422)


def _page(request: HttpRequest, form: AddForm, status: int = 200) -> HttpResponse:
    return render(
        request,
        "pages/users/accounts.html",
        {
            "form": form,
            "roles": _ROLES,
            "accounts": [_row(request, user) for user in User.objects.order_by("username").select_related("profile")],
            "sign_ins": sign_in_rows.rows(request),
        },
        status=422 if form.errors else status,
    )


def _row(request: HttpRequest, user: User) -> AccountRow:
    profile, given = service.profile_of(user), service.role_of(user)
    if not user.is_active:
        state, tone = _("locked"), "bad"
    elif profile.must_change_password:
        state, tone = _("has to change the password"), "warning"
    else:
        state, tone = _("active"), "good"
    return AccountRow(
        id=user.pk,
        name=user.get_username(),
        role=NAMES.get(given, ""),
        role_text=words.word(words.ROLES, given.name),
        state=state,
        tone=tone,
        last_sign_in=formats.moment(user.last_login, configuration.zone()),
        is_own=user == request.user,
        is_stickers=user.get_username() == service.ADMIN,
        is_locked=not user.is_active,
    )
