"""Communication – Load management – the grid operator's dimming (§ 14a EnWG): settings, interventions, their export."""

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext_lazy, pgettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from station import clock
from station.domain import dimming as rules
from station.domain.configuration import checks
from station.services import configuration, dimming, identity
from station.web import dimming_view, present
from station.web.settings_form import Setting, SettingsForm

_ROWS_ON_A_PAGE = 20
SETTINGS = (
    Setting(
        key=checks.DIMMING_ENABLED,
        label=gettext_lazy("Obey the grid operator's control box"),
        help=gettext_lazy(
            "Takes effect at once. Needs an input of the input module, assigned in hardware.json with the signal "
            "dimming."
        ),
    ),
    Setting(
        key=checks.DIMMING_POWER,
        label=gettext_lazy("Power during an intervention"),
        help=gettext_lazy(
            "What all charging points together may draw, at the master of a cluster those of the whole cluster: at "
            "least 4,140 W (three phases, 6 A), or 1,380 W where all charging points are connected by one phase. The "
            "others wait while one car charges."
        ),
        example="4200",
        unit="W",
    ),
    Setting(
        key=checks.DIMMING_ACTIVE_WHEN,
        label=gettext_lazy("The intervention is active while the contact is"),
        choices=(
            (
                rules.ActiveWhen.CLOSED.value,
                pgettext_lazy("the contact is", "closed"),
                gettext_lazy("A relay that closes (NO)."),
            ),
            (
                rules.ActiveWhen.OPEN.value,
                pgettext_lazy("the contact is", "open"),
                gettext_lazy("A relay that opens (NC): a broken wire counts as an intervention, too."),
            ),
        ),
    ),
    Setting(
        key=checks.DIMMING_WHEN_SILENT,
        label=gettext_lazy("While the input module does not answer"),
        choices=(
            (
                rules.WhenSilent.ACTIVE.value,
                gettext_lazy("an intervention is assumed"),
                gettext_lazy("Safe towards the grid operator; the cars charge slowly until the module answers."),
            ),
            (
                rules.WhenSilent.INACTIVE.value,
                gettext_lazy("no intervention is assumed"),
                gettext_lazy("The cars charge on; an intervention in that time is missed."),
            ),
        ),
    ),
)


@require_http_methods(["GET", "POST"])
def dimming_page(request: HttpRequest) -> HttpResponse:
    """Show settings, present state and interventions; take new settings."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save():
        return redirect("dimming")
    now, zone = clock.stamp(), configuration.zone()
    page = Paginator(dimming.kept(), _ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "pages/communication/dimming.html",
        {
            "form": form,
            "card": dimming_view.card(present.look(now.at)),
            "rows": [dimming_view.row(each, zone=zone, now=now) for each in page],
            "page": page,
            "count": page.paginator.count,
            "zone": zone.key,
        },
        status=422 if form.is_refused else 200,
    )


@require_GET
def card(request: HttpRequest) -> HttpResponse:
    """Show the present state alone."""
    return render(request, "components/dimming_card.html", {"dimming": dimming_view.card(present.look(clock.now()))})


@require_GET
def interventions_file(_request: HttpRequest) -> HttpResponse:
    """Hand out every intervention that is kept."""
    zone = configuration.zone()
    text = dimming_view.table_file(dimming.kept().iterator(), zone=zone)
    name = f"dimming-{identity.load().serial}-{clock.now().astimezone(zone):%Y-%m-%d}.csv"
    return HttpResponse(
        text, "text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
