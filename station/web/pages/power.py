"""Station – Power: what the whole station may draw from the mains (load management level 1)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from station.domain.configuration.checks import MAINS, MAINS_BACKEND, MAINS_CEILING
from station.domain.units import MilliAmpere
from station.services import configuration, identity
from station.ui import format as formats
from station.web.settings_form import Setting, SettingsForm

SETTINGS = (
    Setting(
        key=MAINS,
        shows=MAINS_CEILING,
        label=gettext_lazy("Max. mains current (mA)"),
        help=gettext_lazy("Per phase: from 6,000 mA to 32,000 mA for each charging point, 63,000 mA at most."),
        example="32000",
        unit="mA",
    ),
)


@require_http_methods(["GET", "POST"])
def power(request: HttpRequest) -> HttpResponse:
    """Show the installer's limit and the one in force; take a new one."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save():
        return redirect("power")
    backend = configuration.get(MAINS_BACKEND)
    return render(
        request,
        "pages/station/power.html",
        {
            "form": form,
            "present": formats.ampere(MilliAmpere(configuration.get_int(MAINS))),
            "lowered_to": formats.ampere(MilliAmpere(int(backend))) if backend else "",
            "points": identity.load().connectors,
        },
        status=422 if form.is_refused else 200,
    )
