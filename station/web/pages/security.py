"""User management – Security: the vendor's access, for maintenance and for a day at most."""

from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from station import clock, host
from station.domain.commands import Origin
from station.domain.vendor_access import Door
from station.services import accounts, configuration, vendor_access
from station.services.vendor_access import DoorState
from station.ui import format as formats
from station.ui import words
from station.web import access, banners
from station.web.own_password import WrongPassword, check
from station.web.requests import is_htmx, signed_in
from station.web.settings_form import Setting, SettingsForm

SETTINGS = (
    Setting(
        key=vendor_access.KEYS[Door.LOCAL],
        label=gettext_lazy("Local access"),
        help=gettext_lazy("A terminal at the station's own connectors, behind the housing."),
    ),
    Setting(
        key=vendor_access.KEYS[Door.REMOTE],
        label=gettext_lazy("Remote access"),
        help=gettext_lazy("SSH from the network of the site (port 22), with the vendor's key for this station only."),
    ),
)


@dataclass(frozen=True, kw_only=True)
class DoorRow:
    """One access in words; `problem`: why this computer cannot open it."""

    name: str
    state: str
    is_open: bool
    problem: str


@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def security(request: HttpRequest) -> HttpResponse:
    """Show both accesses; open one with the reader's password, close it without."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and _save(request, form):
        return redirect("security")
    doors = vendor_access.doors(clock.stamp())
    return render(
        request,
        "pages/users/security.html",
        {
            "form": form,
            "doors": [_row(door) for door in doors],
            "may_change": access.may(accounts.role_of(signed_in(request)), "security", "POST"),
            # Where nothing can be opened there is nothing to choose; what is open can still be closed.
            "can_open": any(door.is_switched is not None or door.is_wanted for door in doors),
            "is_simulated": host.for_settings().is_simulated,
        },
        status=422 if form.is_refused else 200,
    )


@require_POST
def end(request: HttpRequest) -> HttpResponse:
    """Close whatever is open."""
    user = signed_in(request)
    vendor_access.close_all(origin=Origin.WEB, actor=user.get_username(), now=clock.stamp())
    if is_htmx(request):
        role = accounts.role_of(user)
        return render(request, "components/vendor_access.html", {"vendor_access": banners.vendor_access(role)})
    return redirect("security")


def _save(request: HttpRequest, form: SettingsForm) -> bool:
    opens = any(
        request.POST.get(form.name_of(setting)) == "true" and not configuration.get_bool(setting.key)
        for setting in SETTINGS
    )
    if opens:
        try:
            check(request, request.POST.get("password", ""))
        except WrongPassword as refusal:
            form.refuse(str(refusal))
            return False
    return form.save()


def _row(door: DoorState) -> DoorRow:
    if door.is_wanted and door.is_switched:
        state = _("open for another %(left)s") % {
            "left": formats.hours_and_minutes(int(door.left.total_seconds()) // 60)
        }
    elif door.is_wanted:
        state = _("to be opened")
    elif door.is_switched:
        state = _("being closed")
    else:
        state = _("closed")
    return DoorRow(
        name=words.word(words.DOORS, door.door),
        state=state,
        is_open=door.is_wanted or bool(door.is_switched),
        problem=door.reason,
    )
