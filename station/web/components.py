"""The devices inside the station: what they are, on which line, and how they answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from station.domain.device_names import DEVICE_NAMES
from station.domain.ports import Watchdog
from station.domain.snapshot import LineSnapshot
from station.domain.units import PAUSE
from station.services import wiring
from station.services.wiring import CONTROLLER, WiredDevice
from station.ui import format as formats
from station.web.present import Present, recorded

_KINDS: Mapping[str, "str | Promise"] = {
    CONTROLLER: gettext_lazy("EVSE controller"),
    wiring.METER: gettext_lazy("Meter"),
    wiring.READER: gettext_lazy("Card reader"),
}


_MINUTES_FROM_S = 120
_NEVER_HEARD = LineSnapshot()


@dataclass(frozen=True, kw_only=True)
class ComponentView:
    """One device. `tone`: free answers, fault does not, off nobody can say."""

    kind: str
    name: str
    point: str
    model: str
    serial: str
    firmware: str
    line: str
    tone: str
    state: str
    age: str
    errors: str


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What the control loop, or else the database, knows of a device."""

    model: str = ""
    serial: str = ""
    firmware: str = ""
    ok: bool | None = None
    line: LineSnapshot = _NEVER_HEARD


def all_components(present: Present) -> tuple[ComponentView, ...]:
    """Return the devices in the order of the hardware configuration."""
    readers = iter(present.hardware.readers if present.hardware else ())
    found = []
    for device in wiring.devices():
        if device.kind == wiring.READER:
            reader = next(readers, None)
            seen = _Seen(ok=reader.ok, line=reader.line) if reader else _Seen()
        else:
            seen = _seen(device, present)
        found.append(_view(device, seen, present))
    return tuple(found)


def _seen(device: WiredDevice, present: Present) -> _Seen:
    number = device.connector_id
    if number is None or number not in present.connector_numbers:
        return _Seen()
    live = present.connector(number)
    point = live or recorded(number)
    if device.kind == CONTROLLER:
        known = point.controller
        return _Seen(
            model=known.model,
            serial=known.serial,
            firmware=known.firmware,
            ok=known.ok if live else None,
            line=known.line,
        )
    meter = point.meter
    return _Seen(
        model=f"{meter.vendor} {meter.model}".strip(),
        serial=meter.serial,
        firmware=meter.firmware,
        ok=meter.ok if live else None,
        line=meter.line,
    )


def _view(device: WiredDevice, seen: _Seen, present: Present) -> ComponentView:
    tones = {True: ("free", _("answers")), False: ("fault", _("does not answer")), None: ("off", _("not known"))}
    tone, state = tones[seen.ok]
    age_s = (present.at - seen.line.heard_at).total_seconds() if seen.line.heard_at else None
    return ComponentView(
        kind=device.kind,
        name=str(_KINDS[device.kind]),
        point=str(device.connector_id) if device.connector_id else _("Station"),
        model=seen.model or DEVICE_NAMES.get(device.driver, device.driver),
        serial=seen.serial or formats.MISSING,
        firmware=seen.firmware or formats.MISSING,
        line=device.line,
        tone=tone,
        state=state,
        age=_age(age_s),
        errors=str(seen.line.errors) if seen.ok is not None else formats.MISSING,
    )


def left_alone(watchdog: Watchdog | None) -> str:
    """Say what a controller does when the software does not talk to it any more."""
    if watchdog is None:
        return _("has no watchdog: it goes on with the current it was told last")
    texts = {
        (True, True): _("ends charging by itself after %(seconds)s s"),
        (True, False): _("ends charging by itself; its maker does not say after how long"),
        (False, True): _("goes on with %(current)s by itself after %(seconds)s s"),
        (False, False): _("goes on with less current by itself; its maker does not say after how long"),
    }
    text = texts[watchdog.fallback == PAUSE, watchdog.timeout_s is not None]
    return text % {"seconds": f"{watchdog.timeout_s or 0:g}", "current": formats.ampere(watchdog.fallback)}


def _age(seconds: float | None) -> str:
    """Write how long ago something was; the column is narrow."""
    if seconds is None:
        return formats.MISSING
    whole_s = max(0, int(seconds))
    return f"{whole_s}\N{NO-BREAK SPACE}s" if whole_s < _MINUTES_FROM_S else f"{whole_s // 60}\N{NO-BREAK SPACE}min"
