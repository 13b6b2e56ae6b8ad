"""Station – Power: what the whole station may draw from the mains (load management level 1)."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from station import clock
from station.domain.configuration.checks import MAINS, MAINS_BACKEND, MAINS_CEILING
from station.domain.units import MilliAmpere
from station.services import configuration
from station.ui import format as formats
from station.web import present, supply
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
    Setting(
        key="ConnectorPhaseRotation",
        label=gettext_lazy("Phase rotation"),
        help=gettext_lazy(
            "How L1, L2 and L3 of each charging point are wired to the mains: 1.RST is wired straight, with 2.STR a "
            "one-phase car at point 2 loads L2. Connection 0 is the feed of the station."
        ),
        example="0.RST,1.RST,2.STR",
        expert=True,
    ),
)


@require_http_methods(["GET", "POST"])
def power(request: HttpRequest) -> HttpResponse:
    """Show the installer's limit and the one in force; take a new one."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save():
        return redirect("power")
    backend, now = configuration.get(MAINS_BACKEND), present.look(clock.now())
    return render(
        request,
        "pages/station/power.html",
        {
            "form": form,
            "present": formats.ampere(MilliAmpere(configuration.get_int(MAINS))),
            "lowered_to": formats.ampere(MilliAmpere(int(backend))) if backend else "",
            "phases": supply.phases(now),
            "limits": supply.limits(now),
        },
        status=422 if form.is_refused else 200,
    )
