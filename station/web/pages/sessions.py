"""Sessions: the list with its filters, one session in full, the list as a file for spreadsheet programs."""

from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from station import clock
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.domain.roles import Role
from station.models.session import SessionQuerySet
from station.services import accounts, configuration, identity, session_history, signed_export
from station.services.session_history import Delivery, State, Wanted
from station.services.signed_archive import ArchiveUnusable
from station.ui import format as formats
from station.ui import words
from station.web import session_views
from station.web.period import PeriodForm
from station.web.requests import signed_in

_ROWS_ON_A_PAGE = 20
# More rows than any spreadsheet program takes; a station of ten years stays far below.
_MOST_ROWS_OF_A_FILE = 100_000


class FilterForm(PeriodForm):
    """What somebody looks for. Days are days of the station's time zone."""

    point = forms.TypedChoiceField(label=_("Charging point"), coerce=int, empty_value=None, required=False)
    state = forms.ChoiceField(
        label=_("State"),
        choices=[("", _("all")), (State.RUNNING, _("running")), (State.ENDED, _("ended"))],
        required=False,
    )
    delivery = forms.ChoiceField(
        label=_("Backend"),
        choices=[("", _("all")), *((each.value, words.DELIVERIES[each.value]) for each in Delivery)],
        required=False,
    )
    card = forms.CharField(label=_("Card begins with"), max_length=MAX_ID_TAG_LENGTH, required=False)

    field_order = ("point", "state", "delivery", "since", "until", "card")

    def __init__(self, *args: Any, connectors: int, shows_cards: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shows_cards = shows_cards
        if not shows_cards:
            # Asking for one beginning after the other would tell the whole number.
            del self.fields["card"]
        numbers = [(str(number), str(number)) for number in range(1, connectors + 1)]
        self.fields["point"].choices = [("", _("all")), *numbers]  # type: ignore[attr-defined]

    def wanted(self, zone: ZoneInfo) -> Wanted:
        """Return what is looked for; a field that cannot be understood does not narrow the list."""
        entered = self.cleaned_data
        return Wanted(
            connector_id=entered.get("point") or None,
            state=State(entered["state"]) if entered.get("state") else None,
            delivery=Delivery(entered["delivery"]) if entered.get("delivery") else None,
            id_tag=str(entered.get("card", "")).strip(),
            **self.period(zone),
        )


@require_GET
def sessions(request: HttpRequest) -> HttpResponse:
    """Show what was charged, newest first."""
    zone, form, rows = _look_for(request)
    page = Paginator(rows, _ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    count, energy_wh = session_history.totals(rows)
    now = clock.now()
    asked = urlencode({name: value for name, value in request.GET.items() if name in form.fields and value})
    return render(
        request,
        "pages/sessions.html",
        {
            "form": form,
            "rows": [session_views.row(each, now=now, zone=zone, shows_card=form.shows_cards) for each in page],
            "page": page,
            "count": count,
            "energy": formats.kilowatt_hours(energy_wh),
            "asked": asked,
            "zone": zone.key,
        },
    )


@require_GET
def session(request: HttpRequest, session_id: int) -> HttpResponse:
    """Show one session in full; its sheet can be printed."""
    found = session_history.find(Wanted()).filter(pk=session_id).first()
    if found is None:
        raise Http404
    details = session_views.details(found, now=clock.now(), zone=configuration.zone(), shows_card=_shows_cards(request))
    return render(
        request,
        "pages/session.html",
        {
            "session": details,
            "station": identity.load(),
            "signed": session_views.signed(found),
            "exports_signed": _shows_cards(request),
        },
    )


@require_GET
def signed_values(_request: HttpRequest, session_id: int) -> HttpResponse:
    """Hand out what the meter has signed of a session, for the transparency software."""
    found = session_history.find(Wanted()).filter(pk=session_id).first()
    try:
        signed = signed_export.of(found) if found is not None else None
    except ArchiveUnusable as error:
        raise Http404 from error
    if found is None or signed is None or not signed.records:
        raise Http404
    name = f"session-{identity.load().serial}-{found.pk}.xml"
    return HttpResponse(
        signed_export.transparency_file(found, signed.records),
        "application/xml; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@require_GET
def sessions_file(request: HttpRequest) -> HttpResponse:
    """Hand out the list as the filters narrow it."""
    zone, form, rows = _look_for(request)
    now = clock.now()
    text = session_views.table_file(
        rows[:_MOST_ROWS_OF_A_FILE].iterator(), now=now, zone=zone, shows_card=form.shows_cards
    )
    name = f"sessions-{identity.load().serial}-{now.astimezone(zone):%Y-%m-%d}.csv"
    return HttpResponse(
        text, "text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


def _look_for(request: HttpRequest) -> tuple[ZoneInfo, FilterForm, SessionQuerySet]:
    zone = configuration.zone()
    form = FilterForm(request.GET, connectors=identity.load().connectors, shows_cards=_shows_cards(request))
    form.is_valid()
    return zone, form, session_history.find(form.wanted(zone))


def _shows_cards(request: HttpRequest) -> bool:
    """Whoever only looks sees the beginning of a card's number."""
    return accounts.role_of(signed_in(request)) >= Role.OPERATOR
