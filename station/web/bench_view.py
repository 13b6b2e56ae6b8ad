"""What the test bench shows: the simulated world beside what the station makes of it."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from station.ui import charts, words
from station.ui import format as formats
from station.web.present import Present

PLUG, SWIPE, WATCH, UNPLUG = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of the first charge: `state` is done, now or later."""

    number: int
    text: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A charging point with its car. `step` is what a newcomer does next."""

    number: int
    step: int
    steps: tuple[Step, ...]
    next_step: str
    has_vehicle: bool
    is_plugged: bool
    is_ready: bool
    is_charging: bool
    is_locked: bool
    lamp: str
    lamp_blinks: int
    status: str
    status_code: str
    pilot: str
    power: str
    energy: str
    current: str
    offered: str
    charge: str
    battery: charts.Bar
    faults: tuple[str, ...]
    fault_words: str
    lock_fails: bool
    signs: bool
    signing_fails: bool


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The whole bench."""

    scenes: tuple[Scene, ...]
    backend_is_linked: bool
    signal: int
    dims: bool
    module_is_silent: bool
    speed: str
    faults: tuple[str, ...]
    fault_words: str
    leds: tuple[str, ...]


def make(state: dict[str, Any], present: Present) -> Bench:
    """Make the view of a state of the control API."""
    lamps = {lamp["connector"]: lamp for lamp in state.get("lamp") or ()}
    reader = state.get("reader") or {}
    return Bench(
        scenes=tuple(_scene(point, lamps.get(point["id"], {}), present) for point in state["connectors"]),
        backend_is_linked=bool(state.get("network", {}).get("backend")),
        signal=int(state.get("modem", {}).get("signal") or 0),
        dims=bool(state.get("dimming", {}).get("closed")),
        module_is_silent=state.get("io", {}).get("line", "ok") != "ok",
        speed=str(state.get("speed", 1)),
        faults=tuple(state.get("faults") or ()),
        fault_words=words.faults(list(state.get("faults") or ())),
        leds=tuple(name for name, lit in (reader.get("leds") or {}).items() if lit),
    )


def _scene(point: dict[str, Any], lamp: dict[str, Any], present: Present) -> Scene:
    number = int(point["id"])
    known = present.connector(number)
    status = known.status if known else ""
    vehicle = point.get("vehicle")
    power_w = int(point.get("power_w") or 0)
    step = _step(vehicle, status, has_session=known is not None and known.session is not None)
    charge = (vehicle or {}).get("state_of_charge_percent")
    faults = tuple(point.get("faults") or ())
    signing = point.get("signing")
    return Scene(
        number=number,
        step=step,
        steps=_steps(step),
        next_step=_next_step(
            step,
            is_ready=bool(vehicle and vehicle.get("ready")),
            is_charging=power_w > 0,
            is_faulted=status == "Faulted",
        ),
        has_vehicle=vehicle is not None,
        is_plugged=bool(point.get("plugged")),
        is_ready=bool(vehicle and vehicle.get("ready")),
        is_charging=power_w > 0,
        is_locked=bool(point.get("locked")),
        lamp=str(lamp.get("colour") or "off"),
        lamp_blinks=int(lamp.get("blinks") or 0),
        status=words.word(words.STATUSES, status) if status else _("not running"),
        status_code=status,
        pilot=str(point.get("cp_state") or formats.MISSING),
        power=formats.kilowatt(power_w),
        energy=formats.kilowatt_hours(int(point.get("energy_wh") or 0), decimals=3),
        current=formats.ampere(int(1000 * max(point.get("currents_a") or [0]))),
        offered=formats.ampere(int(1000 * (point.get("offered_a") or 0))),
        charge=formats.percent(round(charge)) if charge is not None else "",
        battery=charts.bar(charge if charge is not None else 60 if vehicle else 0, 100, length=44),
        faults=faults,
        fault_words=words.faults(list(faults)),
        lock_fails=bool(point.get("lock_fails")),
        signs=signing is not None,
        signing_fails=bool((signing or {}).get("faults")),
    )


def _step(vehicle: object, status: str, *, has_session: bool) -> int:
    if vehicle is None:
        return PLUG
    if has_session:
        return WATCH
    return UNPLUG if status == "Finishing" else SWIPE


def _steps(current: int) -> tuple[Step, ...]:
    texts = (
        (PLUG, _("Plug in")),
        (SWIPE, _("Swipe card")),
        (WATCH, pgettext("step: the car draws energy", "Charge")),
        (UNPLUG, _("Unplug")),
    )
    return tuple(
        Step(number=number, text=text, state="now" if number == current else "done" if number < current else "later")
        for number, text in texts
    )


def _next_step(step: int, *, is_ready: bool, is_charging: bool, is_faulted: bool) -> str:
    if is_faulted:
        return _("A fault keeps the energy off. Under “Faults” it is cleared.")
    if step == PLUG:
        return _("Bring a car: press “Plug in”.")
    if step == SWIPE:
        return _("Hold the card to the reader: press “Swipe card”.")
    if step == UNPLUG:
        return _("The session has ended: press “Unplug”.")
    if is_charging:
        return _("It charges. Swipe the card again, or press the stop button, to end the session.")
    if not is_ready:
        return _("The car pauses. Under “The car” it goes on.")
    return _("The session has begun; the car starts in a moment.")
