"""The simulator's test bench: a newcomer charges a first car by mouse."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from station import clock
from station.domain.faults import CATALOGUE, NOT_PHYSICAL, FaultCode, Scope
from station.domain.id_tags import MAX_ID_TAG_LENGTH
from station.ui import words
from station.web import bench_view, present, refusals
from station.web import simulator_client as simulator
from station.web.requests import is_htmx
from whitelist.models import Card

_FALLBACK_CARD = "04A2B3C4"
_BATTERIES = (("", gettext_lazy("never full")), ("40000", "40 kWh"), ("1000", "1 kWh"))


class PlugForm(forms.Form):
    """The car that is brought."""

    max_current_a = forms.IntegerField(min_value=6, max_value=80)
    phases = forms.IntegerField(min_value=1, max_value=3)
    battery_wh = forms.IntegerField(min_value=1, required=False)


class VehicleForm(forms.Form):
    """What changes at a connected car."""

    max_current_a = forms.IntegerField(min_value=6, max_value=80, required=False)
    phases = forms.IntegerField(min_value=1, max_value=3, required=False)
    ready = forms.NullBooleanField(required=False)


class FaultForm(forms.Form):
    """A fault that comes or goes."""

    code = forms.ChoiceField(choices=[(code.value, code.value) for code in FaultCode if code not in NOT_PHYSICAL])
    active = forms.BooleanField(required=False)


class LineForm(forms.Form):
    """How a device's serial line behaves."""

    device = forms.ChoiceField(choices=[("controller", "controller"), ("meter", "meter")])
    mode = forms.ChoiceField(
        choices=[("ok", "ok"), ("silent", "silent"), ("unplugged", "unplugged"), ("garbage", "garbage")]
    )


SIGNING_FAULTS = (
    ("forged", gettext_lazy("signs wrongly")),
    ("signature", gettext_lazy("has lost its key")),
    ("full", gettext_lazy("has no room in its log")),
    ("answer", gettext_lazy("signs and does not answer")),
    ("power", gettext_lazy("loses its power while it signs, once")),
    ("register", gettext_lazy("cannot read its register")),
    ("record", gettext_lazy("sends a damaged record")),
)


class SigningForm(forms.Form):
    """How a calibrated meter fares: how long it signs, or what goes wrong with it, or no longer."""

    seconds = forms.FloatField(min_value=0.1, max_value=30, required=False)
    fault = forms.ChoiceField(choices=SIGNING_FAULTS, required=False)
    active = forms.BooleanField(required=False)


class SwipeForm(forms.Form):
    """The card in the hand."""

    uid = forms.RegexField(r"^[ -~]+$", max_length=MAX_ID_TAG_LENGTH)
    legic = forms.BooleanField(required=False)


class SwitchForm(forms.Form):
    """On or off."""

    on = forms.BooleanField(required=False)


class ModemForm(forms.Form):
    """Reception in per cent, the SIM card, and what the mobile network says to it."""

    signal = forms.IntegerField(min_value=0, max_value=100, required=False)
    sim = forms.ChoiceField(required=False, choices=[(each, each) for each in ("ready", "absent", "locked")])
    registration = forms.ChoiceField(required=False, choices=[(each, each) for each in ("home", "searching", "denied")])


class SpeedForm(forms.Form):
    """How much faster energy counts."""

    factor = forms.IntegerField(min_value=1, max_value=3600)


class NoForm(forms.Form):
    """Nothing to fill in."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """One button of the bench: its form and what it makes of it for the control API."""

    path: str
    form: type[forms.Form]
    body: Callable[[dict[str, Any]], dict[str, Any]]


def _given(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value not in (None, "")}


_POINT_ACTIONS = {
    "plug": Action(path="/connectors/{n}/plug", form=PlugForm, body=lambda data: _given(data) | {"ready": True}),
    "unplug": Action(path="/connectors/{n}/unplug", form=NoForm, body=lambda _data: {"side": "vehicle"}),
    "vehicle": Action(path="/connectors/{n}/vehicle", form=VehicleForm, body=_given),
    "button": Action(path="/connectors/{n}/button", form=NoForm, body=_given),
    "fault": Action(path="/connectors/{n}/fault", form=FaultForm, body=dict),
    "lock": Action(path="/connectors/{n}/lock", form=SwitchForm, body=lambda data: {"fail": data["on"]}),
    "line": Action(path="/connectors/{n}/line", form=LineForm, body=_given),
    "signing": Action(path="/connectors/{n}/signing", form=SigningForm, body=_given),
}
_STATION_ACTIONS = {
    "swipe": Action(path="/reader/swipe", form=SwipeForm, body=_given),
    "fault": Action(path="/fault", form=FaultForm, body=dict),
    "network": Action(path="/network", form=SwitchForm, body=lambda data: {"backend": data["on"]}),
    "modem": Action(path="/modem", form=ModemForm, body=_given),
    "dimming": Action(path="/dimming", form=SwitchForm, body=lambda data: {"closed": data["on"]}),
    "module": Action(path="/io/line", form=SwitchForm, body=lambda data: {"mode": "ok" if data["on"] else "silent"}),
    "speed": Action(path="/speed", form=SpeedForm, body=_given),
    "reset": Action(path="/reset", form=NoForm, body=_given),
}


def _simulated_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not settings.SIMULATE:
            raise Http404
        return view(request, *args, **kwargs)

    return guarded


@_simulated_only
@require_GET
def bench(request: HttpRequest) -> HttpResponse:
    """Show the bench."""
    return render(request, "pages/bench.html", _context() | _choices())


@_simulated_only
@require_GET
def world(request: HttpRequest) -> HttpResponse:
    """Return the moving parts alone; the page asks for them every second."""
    return render(request, "components/bench_world.html", _context())


@_simulated_only
@require_POST
def act(request: HttpRequest, action: str, connector_id: int | None = None) -> HttpResponse:
    """Do what a button says, through the simulator's own control API."""
    found = (_STATION_ACTIONS if connector_id is None else _POINT_ACTIONS).get(action)
    if found is None:
        raise Http404
    form = found.form(request.POST)
    problem = ""
    if not form.is_valid():
        problem = _("This value is not possible.")
    else:
        try:
            simulator.act(found.path.format(n=connector_id), found.body(form.cleaned_data))
        except simulator.SimulatorRefused as refusal:
            problem = _("The simulator refuses: %(reason)s") % {"reason": refusal}
        except simulator.SimulatorAway:
            problem = _("The simulator does not answer.")
    if is_htmx(request):
        return render(request, "components/bench_world.html", _context() | {"problem": problem})
    if problem:
        messages.error(request, problem)
    return redirect("bench")


def _context() -> dict[str, Any]:
    now = present.look(clock.now())
    try:
        state = simulator.state()
    except simulator.SimulatorAway:
        return {"bench": None}
    return {"bench": bench_view.make(state, now), "refusal": refusals.latest(now)}


def _choices() -> dict[str, Any]:
    card = Card.objects.present().filter(authorization="Accepted").order_by("pk").first()
    return {
        "card": card.uid if card else _FALLBACK_CARD,
        "batteries": _BATTERIES,
        "point_faults": _faults(Scope.CONNECTOR),
        "station_faults": _faults(Scope.STATION),
        "signing_faults": SIGNING_FAULTS,
        "numbers": present.look(clock.now()).connector_numbers,
    }


def _faults(scope: Scope) -> list[tuple[str, str]]:
    return [
        (code.value, words.word(words.FAULTS, code))
        for code, kind in CATALOGUE.items()
        if kind.scope is scope and code not in NOT_PHYSICAL
    ]
