"""Events: what happened at the station, who or what caused it, and what is not over yet."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from station.models import AuditEntry, LogEntry
from station.services import configuration, history
from station.services.history import Kind, Wanted
from station.ui import event_words
from station.ui import format as formats
from station.web.period import PeriodForm

_ROWS_ON_A_PAGE = 30


class FilterForm(PeriodForm):
    """What somebody looks for. Days are days of the station's time zone."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[
            ("", gettext_lazy("all")),
            (Kind.FAULT, gettext_lazy("Faults")),
            (Kind.EVENT, gettext_lazy("Other events")),
            (Kind.COMMAND, gettext_lazy("What people and the backend wanted")),
        ],
        required=False,
    )
    field_order = ("kind", "since", "until")

    def wanted(self, zone: ZoneInfo) -> Wanted:
        """Return what is looked for; a field that cannot be understood does not narrow the list."""
        entered: dict[str, Any] = self.cleaned_data
        return Wanted(kind=Kind(entered["kind"]) if entered.get("kind") else None, **self.period(zone))


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """One line; `tone` is fault, waiting or off. `result` says until when it lasted, or what became of a command."""

    at: str
    connector: str
    what: str
    who: str
    result: str
    tone: str


@require_GET
def events(request: HttpRequest) -> HttpResponse:
    """Show what happened, newest first."""
    zone = configuration.zone()
    form = FilterForm(request.GET)
    form.is_valid()
    page = Paginator(history.timeline(form.wanted(zone)), _ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    asked = urlencode({name: value for name, value in request.GET.items() if name in form.fields and value})
    rows = [_row(each, zone) for each in history.rows(list(page))]
    return render(
        request, "pages/events.html", {"form": form, "rows": rows, "page": page, "asked": asked, "zone": zone.key}
    )


def _row(entry: LogEntry | AuditEntry, zone: ZoneInfo) -> EventRow:
    return _event(entry, zone) if isinstance(entry, LogEntry) else _command(entry, zone)


def _event(entry: LogEntry, zone: ZoneInfo) -> EventRow:
    lasting = bool(entry.data.get("lasting")) and entry.cleared_at is None
    is_fault = entry.code.startswith(history.FAULTS)
    return EventRow(
        at=formats.moment(entry.at, zone),
        connector=str(entry.connector_id) if entry.connector_id else "",
        what=event_words.event(entry.code, entry.data),
        who=_("Station"),
        result=_("lasts") if lasting else _until(entry.at, entry.cleared_at, zone),
        tone="fault" if lasting and is_fault else "waiting" if lasting else "off",
    )


def _until(begun_at: datetime, over_at: datetime | None, zone: ZoneInfo) -> str:
    if over_at is None:
        return ""
    same_day = begun_at.astimezone(zone).date() == over_at.astimezone(zone).date()
    return _("over since %(time)s") % {"time": (formats.time_of_day if same_day else formats.moment)(over_at, zone)}


def _command(entry: AuditEntry, zone: ZoneInfo) -> EventRow:
    number = entry.data.get("connector_id")
    return EventRow(
        at=formats.moment(entry.at, zone),
        connector=str(number) if isinstance(number, int) and number else "",
        what=event_words.command(entry.command, entry.data),
        who=event_words.actor(entry.origin, entry.actor),
        result=event_words.outcome(entry.outcome, entry.reason),
        tone="waiting" if entry.reason else "off",
    )
