"""Events: what happened at the station, who or what caused it, what is not over yet, and the way back from a change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.models import AuditEntry, LogEntry
from station.services import accounts, configuration, fault_memory, history, identity, taking_back
from station.services.history import Kind, Wanted
from station.services.messages import ConfigurationChanged, send_to_control_loop
from station.ui import event_words, problems, words
from station.ui import format as formats
from station.web import access, fault_memory_view, menu, setting_labels
from station.web.period import PeriodForm
from station.web.requests import signed_in

_ROWS_ON_A_PAGE = 30
# What is done on a page without a setting being changed.
_COMMANDS_OF: Mapping[str, tuple[str, ...]] = {
    "interfaces": ("ChangeNetwork", "KeepNetwork", "WithdrawNetwork"),
    "ocpp": ("AddCaCertificate", "RemoveCaCertificate", "SendMessagesAgain"),
    "date-time": ("SetClock",),
    "components": ("FlashControllers",),
    "branding": ("SetLogo", "RemoveLogo"),
    "users": ("SaveWhitelist", "ImportWhitelist", "SendLocalList"),
    "accounts": (
        "AddAccount",
        "GiveRole",
        "ReplaceAccountPassword",
        "LockAccount",
        "UnlockAccount",
        "DeleteAccount",
        "SignOut",
    ),
    "update": ("InstallUpdate", "StopUpdate"),
}


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
    person = forms.ChoiceField(label=gettext_lazy("By whom"), required=False)
    page_of = forms.ChoiceField(label=gettext_lazy("Page"), required=False)
    field_order = ("kind", "person", "page_of", "since", "until")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        everybody = [(actor, event_words.ACTORS.get(actor, actor)) for actor in history.actors()]
        pages = [(name, menu.label_of(name)) for name in (*setting_labels.PAGES, *_COMMANDS_OF)]
        self._choices("person").choices = [("", _("all")), *everybody]
        self._choices("page_of").choices = [("", _("all")), *dict(pages).items()]

    def _choices(self, name: str) -> forms.ChoiceField:
        return cast("forms.ChoiceField", self.fields[name])

    def wanted(self, zone: ZoneInfo) -> Wanted:
        """Return what is looked for; a field that cannot be understood does not narrow the list."""
        entered: dict[str, Any] = self.cleaned_data
        page = entered.get("page_of")
        return Wanted(
            kind=Kind(entered["kind"]) if entered.get("kind") else None,
            actor=entered.get("person") or None,
            keys=tuple(setting_labels.keys_of(page) if page in setting_labels.PAGES else ()) if page else None,
            commands=_COMMANDS_OF.get(page or "", ()),
            **self.period(zone),
        )


@dataclass(frozen=True, kw_only=True)
class ChangeLine:
    """One setting that was changed, in the words of its page."""

    label: str
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """One line; `tone` is fault, waiting or off. `result` says until when it lasted, or what became of a command."""

    at: str
    connector: str
    what: str
    who: str
    result: str
    tone: str
    changes: tuple[ChangeLine, ...] = ()
    is_taking_back: bool = False
    take_back_id: int | None = None
    obstacle: str = ""


@require_GET
def events(request: HttpRequest) -> HttpResponse:
    """Show what happened, newest first."""
    zone = configuration.zone()
    form = FilterForm(request.GET)
    form.is_valid()
    page = Paginator(history.timeline(form.wanted(zone)), _ROWS_ON_A_PAGE).get_page(request.GET.get("page"))
    asked = urlencode({name: value for name, value in request.GET.items() if name in form.fields and value})
    may_take_back = access.may(accounts.role_of(signed_in(request)), "event-take-back", "POST")
    rows = [_row(each, zone, may_take_back=may_take_back) for each in history.rows(list(page))]
    is_beginning = page.number == 1 and not asked
    return render(
        request,
        "pages/events.html",
        {
            "form": form,
            "rows": rows,
            "page": page,
            "asked": asked,
            "zone": zone.key,
            # Whoever leafs or looks for something has seen it.
            "memory": fault_memory_view.rows(fault_memory.kept(), zone=zone) if is_beginning else None,
        },
    )


@require_GET
def fault_memory_file(_request: HttpRequest) -> HttpResponse:
    """Hand out the fault memory."""
    zone = configuration.zone()
    text = fault_memory_view.table_file(fault_memory.kept(), zone=zone)
    name = f"faults-{identity.load().serial}-{clock.now().astimezone(zone):%Y-%m-%d}.csv"
    return HttpResponse(
        text, "text/csv; charset=utf-8", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )


@require_POST
def take_back(request: HttpRequest, entry_id: int) -> HttpResponse:
    """Put the settings back that a change has replaced."""
    entry = get_object_or_404(AuditEntry, pk=entry_id)
    try:
        taking_back.take_back(entry, origin=Origin.WEB, actor=signed_in(request).get_username(), at=clock.now())
    except taking_back.CannotBeTakenBack as refusal:
        text = words.word(event_words.OBSTACLES, refusal.obstacle)
        messages.error(request, _("The change stays. %(reason)s") % {"reason": text})
    except ConfigurationRefused as refusal:
        reasons = " ".join(
            f"{setting_labels.label(problem.key)}: {problems.say(problem.code, problem.data)}"
            for problem in refusal.problems
        )
        messages.error(request, _("The change stays. %(reason)s") % {"reason": reasons})
    else:
        send_to_control_loop(ConfigurationChanged())
        messages.success(request, _("Taken back: the earlier values are in force again."))
    return redirect("events")


def _row(entry: LogEntry | AuditEntry, zone: ZoneInfo, *, may_take_back: bool) -> EventRow:
    return _event(entry, zone) if isinstance(entry, LogEntry) else _command(entry, zone, may_take_back=may_take_back)


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


def _command(entry: AuditEntry, zone: ZoneInfo, *, may_take_back: bool) -> EventRow:
    number = entry.data.get("connector_id")
    obstacle = taking_back.obstacle(entry, configuration.snapshot())
    is_change = obstacle is not taking_back.Obstacle.NO_CHANGE
    return EventRow(
        at=formats.moment(entry.at, zone),
        connector=str(number) if isinstance(number, int) and number else "",
        what=event_words.command(entry.command, entry.data),
        who=event_words.actor(entry.origin, entry.actor),
        result=event_words.outcome(entry.outcome, entry.reason),
        tone="waiting" if entry.reason else "off",
        changes=_changes(entry),
        is_taking_back=entry.takes_back_id is not None,
        take_back_id=entry.pk if may_take_back and obstacle is None else None,
        obstacle=words.word(event_words.OBSTACLES, obstacle) if may_take_back and is_change and obstacle else "",
    )


def _changes(entry: AuditEntry) -> tuple[ChangeLine, ...]:
    """Return old and new values; earlier versions have recorded the new ones only, in the sentence."""
    lines = (
        ChangeLine(
            label=setting_labels.label(key),
            before=setting_labels.value(key, before),
            after=setting_labels.value(key, entry.data.get(key)),
        )
        for key, before in sorted(entry.before.items())
    )
    # Two keys of one field say the same.
    return tuple(dict.fromkeys(lines))
