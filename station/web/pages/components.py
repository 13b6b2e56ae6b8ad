"""Station – Components: the devices inside the station, and the firmware of the EVSE controllers."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from station import clock
from station.domain.commands import FlashControllers, Outcome, Refusal
from station.domain.snapshot import PointSnapshot
from station.models import LogEntry
from station.services import accounts, flashing
from station.services.wiring import CONTROLLER
from station.ui import event_words, words
from station.ui import format as formats
from station.web import access, components, present
from station.web.present import Present
from station.web.requests import say, signed_in, submit


@dataclass(frozen=True, kw_only=True)
class FlashResult:
    """What became of flashing one controller, or how far it is; `percent` None: it is not under way."""

    point: str
    model: str
    text: str
    percent: int | None = None


@dataclass(frozen=True, kw_only=True)
class LeftAlone:
    """What one controller does when the software falls silent."""

    point: str
    model: str
    text: str


@require_http_methods(["GET", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """Show the devices and how they answer; flash the controllers."""
    now = present.look(clock.now())
    if request.method == "POST":
        return _flash(request, now)
    return render(request, "pages/station/components.html", _context(request, now))


def _flash(request: HttpRequest, now: Present) -> HttpResponse:
    """Say of each controller what became of flashing it, or which session is in the way."""
    outcome = submit(request, FlashControllers())
    if outcome.succeeded:
        return redirect("components", permanent=False)
    context = _context(request, now)
    results = _per_controller(outcome, context["components"])
    context |= {"refusal": "" if results else say(outcome), "in_the_way": _in_the_way(outcome, now), "results": results}
    return render(request, "pages/station/components.html", context, status=409)


def _context(request: HttpRequest, now: Present) -> dict[str, Any]:
    found = components.all_components(now)
    return {
        "components": found,
        "flashing": _flashing(found, now),
        "left_alone": _left_alone(found, now),
        "is_live": bool(now.hardware),
        "may_flash": access.may(accounts.role_of(signed_in(request)), "components", "POST"),
    }


def _left_alone(found: tuple[components.ComponentView, ...], now: Present) -> list[LeftAlone]:
    """Say of each controller what it does when the software of the station does not talk to it any more."""
    points = {str(each.number): each.controller for each in (now.hardware.points if now.hardware else ())}
    return [
        LeftAlone(point=each.point, model=each.model, text=components.left_alone(points[each.point].watchdog))
        for each in found
        if each.kind == CONTROLLER and each.point in points and points[each.point].model
    ]


def _flashing(found: tuple[components.ComponentView, ...], now: Present) -> list[FlashResult]:
    """Say of each controller how far its firmware is written, or what became of it the last time.

    That a controller cannot be written goes without saying where none can.
    """
    able = any(each.controller.shipped for each in (now.hardware.points if now.hardware else ()))
    last = flashing.last_results()
    results = []
    for each in found:
        point = now.connector(int(each.point)) if each.kind == CONTROLLER else None
        if point is not None and able:
            text, under_way = _state(point, last.get(point.number), now), point.flashing
            percent = under_way.percent if under_way else None
            results.append(FlashResult(point=each.point, model=each.model, text=text, percent=percent))
    return results


def _state(point: PointSnapshot, last: LogEntry | None, now: Present) -> str:
    if point.flashing is not None:
        return words.word(words.FLASHING, point.flashing.stage)
    if not point.controller.shipped:
        return words.word(words.REFUSALS, Refusal.FLASHING_NOT_SUPPORTED)
    if last is not None:
        return f"{formats.moment(last.at, now.zone)}: {event_words.event(last.code, last.data)}"
    return _("Has firmware %(present)s; %(shipped)s comes with this software.") % {
        "present": point.controller.firmware or formats.MISSING,
        "shipped": point.controller.shipped,
    }


def _per_controller(outcome: Outcome, found: tuple[components.ComponentView, ...]) -> list[FlashResult]:
    if outcome.reason is not Refusal.FLASHING_NOT_SUPPORTED:
        return []
    return [
        FlashResult(point=each.point, model=each.model, text=say(outcome)) for each in found if each.kind == CONTROLLER
    ]


def _in_the_way(outcome: Outcome, now: Present) -> list[str]:
    if outcome.reason is not Refusal.SESSIONS_RUNNING:
        return []
    lines = []
    for number in outcome.data.get("connectors", []):
        point = now.connector(number)
        card = formats.card(point.session.id_tag) if point and point.session else ""
        text = _("Charging point %(number)s: card %(card)s") if card else _("Charging point %(number)s")
        lines.append(text % {"number": number, "card": card})
    return lines
