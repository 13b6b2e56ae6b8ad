"""Communication – OCPP: the messages between station and server, request and answer side by side."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from station import clock
from station.domain.message_log import Exchange, Frame, Kind, Wanted
from station.services import configuration, identity, message_log
from station.ui import format as formats

_ROWS_ON_A_PAGE = 30
# The station waits thirty seconds for an answer; nothing comes after twice that.
_ANSWER_IN = timedelta(seconds=60)
_KEY_LENGTH = 16
_SUMMARY_LENGTH = 90


class FilterForm(forms.Form):
    """What somebody looks for."""

    action = forms.ChoiceField(label=gettext_lazy("OCPP message"), required=False)
    asked_by = forms.ChoiceField(
        label=gettext_lazy("Asked by"),
        choices=[("", gettext_lazy("all")), ("station", gettext_lazy("Station")), ("server", gettext_lazy("Server"))],
        required=False,
    )
    point = forms.IntegerField(label=gettext_lazy("Charging point"), min_value=0, max_value=99, required=False)
    transaction = forms.IntegerField(label=gettext_lazy("Transaction"), required=False)
    only = forms.ChoiceField(
        label=gettext_lazy("Result"),
        choices=[("", gettext_lazy("all")), ("faults", gettext_lazy("refused or faulty"))],
        required=False,
    )

    def __init__(self, *args: Any, actions: Sequence[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        named = [(name, name) for name in actions]
        self.fields["action"].choices = [("", gettext_lazy("all")), *named]  # type: ignore[attr-defined]

    def wanted(self) -> Wanted:
        """Return what is looked for; a field that cannot be understood does not narrow the list."""
        entered = self.cleaned_data
        asked_by = entered.get("asked_by")
        return Wanted(
            action=entered.get("action") or None,
            by_station=asked_by == "station" if asked_by else None,
            connector_id=entered.get("point"),
            transaction_id=entered.get("transaction"),
            only_faults=entered.get("only") == "faults",
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """An exchange as the list shows it; `tone` fault, waiting, charging or off."""

    key: str
    at: str
    action: str
    asked_by: str
    connector: str
    transaction: str
    latency: str
    result: str
    tone: str


@dataclass(frozen=True, kw_only=True)
class FrameView:
    """A frame in full."""

    title: str
    at: str
    text: str
    note: str


@require_GET
def list_messages(request: HttpRequest) -> HttpResponse:
    """Show what was said, newest first."""
    now, zone = clock.now(), configuration.zone()
    found = message_log.read()
    form = FilterForm(request.GET, actions=sorted({each.action for each in found if each.action}))
    form.is_valid()
    wanted = form.wanted()
    page = Paginator([each for each in reversed(found) if wanted.fits(each)], _ROWS_ON_A_PAGE).get_page(
        request.GET.get("page")
    )
    asked = urlencode({name: value for name, value in request.GET.items() if name in form.fields and value})
    return render(
        request,
        "pages/communication/ocpp_messages.html",
        {
            "form": form,
            "rows": [_row(each, now, zone) for each in page],
            "page": page,
            "asked": asked,
            "zone": zone.key,
        },
    )


@require_GET
def message(request: HttpRequest, key: str) -> HttpResponse:
    """Show one exchange in full."""
    found = next((each for each in reversed(message_log.read()) if _key(each) == key), None)
    if found is None:
        raise Http404
    zone = configuration.zone()
    frames = [_frame(frame, zone) for frame in (found.request, found.answer) if frame]
    row = _row(found, clock.now(), zone)
    return render(
        request,
        "pages/communication/ocpp_message.html",
        {"row": row, "frames": frames, "fault": found.fault, "message_id": found.first.message_id},
    )


@require_GET
def messages_file(_request: HttpRequest) -> StreamingHttpResponse:
    """Hand out the whole log, for the operator of the backend or for support."""
    name = f"ocpp-{identity.load().serial}-{clock.now().astimezone(configuration.zone()):%Y-%m-%d}.log"
    return StreamingHttpResponse(
        message_log.download(),
        "text/plain; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _row(exchange: Exchange, now: datetime, zone: ZoneInfo) -> Row:
    result, tone = _result(exchange, now)
    return Row(
        key=_key(exchange),
        at=formats.moment_with_seconds(exchange.first.at, zone),
        action=exchange.action or formats.MISSING,
        asked_by=_("Station") if exchange.by_station else _("Server"),
        connector=formats.MISSING if exchange.connector_id is None else str(exchange.connector_id),
        transaction=formats.MISSING if exchange.transaction_id is None else str(exchange.transaction_id),
        latency=formats.milliseconds(exchange.latency),
        result=result,
        tone=tone,
    )


def _result(exchange: Exchange, now: datetime) -> tuple[str, str]:
    """Return in words what came of a request, and its tone."""
    answer = exchange.answer
    if exchange.fault:
        return _("answer breaks the schema: %(fault)s") % {"fault": exchange.fault}, "fault"
    if exchange.first.kind is Kind.BROKEN:
        return _("cannot be read as an OCPP message"), "fault"
    if answer is None:
        if now - exchange.first.at > _ANSWER_IN:
            return _("not answered"), "paused"
        return _("waits for the answer"), "waiting"
    if answer.kind is Kind.ERROR:
        return f"CALLERROR {answer.code}: {answer.description}"[:_SUMMARY_LENGTH].rstrip(": "), "fault"
    if exchange.request is None:
        return _("answer to an earlier request"), "off"
    status = _status(answer)
    return status or _("answered"), "off"


def _status(answer: Frame) -> str:
    payload = answer.payload or {}
    card = payload.get("idTagInfo")
    status = payload.get("status") or (card.get("status") if isinstance(card, dict) else "")
    return status if isinstance(status, str) else ""


def _frame(frame: Frame, zone: ZoneInfo) -> FrameView:
    title = _("From the station") if frame.is_sent else _("From the server")
    if frame.payload is None:
        note = _("The log keeps the first 4000 characters of a message.") if frame.kind is not Kind.BROKEN else ""
        return FrameView(title=title, at=_moment(frame, zone), text=message_log.redacted(frame.text), note=note)
    shown: Any = _without_cards(frame.payload)
    if frame.kind is Kind.ERROR:
        shown = {"errorCode": frame.code, "errorDescription": frame.description, "errorDetails": shown}
    return FrameView(
        title=title, at=_moment(frame, zone), text=json.dumps(shown, indent=2, ensure_ascii=False), note=""
    )


def _moment(frame: Frame, zone: ZoneInfo) -> str:
    return formats.moment_with_seconds(frame.at, zone)


def _without_cards(payload: Any) -> Any:
    """Shorten the numbers of cards: a support person reads along, and whoever knows the number can charge with it."""
    if isinstance(payload, dict):
        return {
            name: formats.card(value) if _is_card(name) and isinstance(value, str) else _without_cards(value)
            for name, value in payload.items()
        }
    if isinstance(payload, list):
        return [_without_cards(each) for each in payload]
    return payload


def _is_card(name: str) -> bool:
    return name.lower().endswith("idtag")


def _key(exchange: Exchange) -> str:
    first = exchange.first
    return hashlib.sha256(f"{first.at.isoformat()} {first.text}".encode(errors="replace")).hexdigest()[:_KEY_LENGTH]
