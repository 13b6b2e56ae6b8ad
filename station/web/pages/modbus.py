"""Communication – Modbus (load management level 3): the server for energy managers, who is there, what was set."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods

from loadmgmt import present as registers_present
from loadmgmt import registers, set_points, settings
from loadmgmt.energy_manager import SetPoint, Watchdog
from loadmgmt.registers import Unit
from station import clock, host
from station.domain.snapshot import ModbusClientSnapshot, ModbusPointSnapshot, ModbusSnapshot
from station.host import versions
from station.services import configuration
from station.ui import format as formats
from station.ui import words
from station.web import facts, present
from station.web.present import Present
from station.web.settings_form import Setting, SettingsForm

STATION_IDENTIFIER = 200
_ANY_IDENTIFIER = 255
_SHOWN_SET_POINTS = 10
SETTINGS = (
    Setting(
        key="/modbus/enabled",
        label=gettext_lazy("Energy managers may connect"),
        help=gettext_lazy(
            "Takes effect at once. From then on the fallback holds at every charging point until the energy manager is "
            "heard."
        ),
    ),
    Setting(
        key="/modbus/readOnly",
        label=gettext_lazy("Only reading"),
        help=gettext_lazy("Energy managers see everything and can change nothing. Then no fallback holds either."),
    ),
    Setting(
        key="/modbus/fallbackCurrent",
        label=gettext_lazy("Fallback (mA)"),
        help=gettext_lazy(
            "What each charging point may draw while the energy manager is silent: 0 (pause), or 6,000 to 80,000 mA. "
            "It never raises another limit."
        ),
        example="6000",
        unit="mA",
    ),
    Setting(
        key="/modbus/watchdogS",
        label=gettext_lazy("Watchdog"),
        help=gettext_lazy(
            "After so long a silence the fallback holds: 5 to 3,600 s. 0 switches the watchdog off; then what was "
            "written last holds for ever."
        ),
        example="60",
        unit="s",
    ),
    Setting(
        key="/modbus/lifeSign",
        label=gettext_lazy("Sign of life"),
        choices=(
            (
                "any",
                gettext_lazy("Any request"),
                gettext_lazy("For energy managers that write only when something changes (evcc)."),
            ),
            (
                "writes",
                gettext_lazy("Only writes"),
                gettext_lazy("When others read as well, so that they keep nothing alive."),
            ),
        ),
    ),
    Setting(
        key="/modbus/clients",
        label=gettext_lazy("Access list"),
        help=gettext_lazy(
            "Addresses or networks, separated by commas, from which energy managers may connect. Empty: from the "
            "whole network of the site."
        ),
        warning=gettext_lazy("Modbus knows no password: whoever may connect can limit the charging points."),
        example="192.168.1.20, 192.168.2.0/24",
    ),
    Setting(
        key="/modbus/discloseCards",
        label=gettext_lazy("Card numbers may be read"),
        help=gettext_lazy("Register 720: some energy managers tell vehicles apart by it."),
        expert=True,
    ),
    Setting(
        key="/modbus/port",
        label=gettext_lazy("TCP port of charging point 1"),
        help=gettext_lazy("The next charging point has the next port. Open connections end."),
        example="502",
        expert=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """What has to be entered at the energy manager for a charging point, or the station."""

    name: str
    port: int
    identifier: str


@dataclass(frozen=True, kw_only=True)
class Client:
    """A connection in words."""

    address: str
    port: int
    since: str
    read: str
    written: str


@dataclass(frozen=True, kw_only=True)
class ControlledPoint:
    """A charging point under an energy manager, in words."""

    number: int
    watchdog: str
    set_point: str
    written: str
    limit: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A set-point of the trail in words."""

    at: str
    number: int
    value: str
    client: str


@dataclass(frozen=True, kw_only=True)
class State:
    """The server in words."""

    server: facts.Connection
    addresses: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    clients: tuple[Client, ...]
    points: tuple[ControlledPoint, ...]
    trail: tuple[Trace, ...]


@dataclass(frozen=True, kw_only=True)
class RegisterRow:
    """A register with its present value."""

    address: int
    words: int
    kind: str
    access: str
    unit: str
    meaning: str
    value: str
    raw: str


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """A fault and where it is found."""

    name: str
    bit: str
    number: int


@require_http_methods(["GET", "POST"])
def modbus(request: HttpRequest) -> HttpResponse:
    """Show the server and its settings; take new ones."""
    form = SettingsForm(request, SETTINGS)
    if request.method == "POST" and form.save():
        return redirect("modbus")
    return render(
        request,
        "pages/communication/modbus.html",
        {"form": form, "state": _state(present.look(clock.now()))},
        status=422 if form.is_refused else 200,
    )


@require_GET
def state(request: HttpRequest) -> HttpResponse:
    """Show the present of the server alone."""
    return render(request, "components/modbus_state.html", {"state": _state(present.look(clock.now()))})


@require_GET
def register_table(request: HttpRequest) -> HttpResponse:
    """Show the register table of a charging point or of the station, with its present values."""
    now = present.look(clock.now())
    asked = request.GET.get("of", "1")
    names = {str(number): _("Charging point %(number)s") % {"number": number} for number in now.connector_numbers}
    names["station"] = _("Station")
    if asked not in names:
        raise Http404
    return render(
        request,
        "pages/communication/modbus_registers.html",
        {
            "rows": _rows(now, asked),
            "errors": _errors(),
            "asked": asked,
            "names": names,
            "is_live": now.hardware is not None,
        },
    )


# --- the server


def _state(now: Present) -> State:
    enabled = configuration.get_bool("/modbus/enabled")
    known = now.hardware.modbus if now.hardware else None
    tone, title, details = _title(enabled, known)
    if known is not None and known.refusal is not None:
        refusal = known.refusal
        details += (
            _("Last refused: %(address)s, %(moment)s – %(reason)s")
            % {
                "address": refusal.address,
                "moment": formats.moment(refusal.at, now.zone),
                "reason": words.word(words.MODBUS_REFUSALS, refusal.reason),
            },
        )
    limits = enabled and not configuration.get_bool("/modbus/readOnly")
    return State(
        server=facts.Connection(
            id="modbus-server",
            label=_("Modbus server"),
            icon="arrows-right-left",
            tone=tone,
            state=title,
            details=details,
        ),
        addresses=host.for_settings().network.addresses(),
        endpoints=_endpoints(now) if enabled else (),
        clients=tuple(_client(each, now) for each in known.clients) if known else (),
        points=tuple(_point(each, now) for each in known.points) if known and known.enabled and limits else (),
        trail=_trail(now),
    )


def _title(enabled: bool, known: ModbusSnapshot | None) -> tuple[str, str, tuple[str, ...]]:  # noqa: FBT001 - one of two
    if not enabled:
        return "off", _("Switched off"), (_("The ports are closed, also in the firewall."),)
    if known is None:
        return "bad", _("Not known"), (_("The control of the charging points does not answer."),)
    if known.problem:
        problem = _("Port %(port)s cannot be opened: %(reason)s. Another program may use it.") % {
            "port": known.problem_port,
            "reason": known.problem,
        }
        return "bad", _("Not reachable"), (problem,)
    if not known.ports:
        return "warning", _("Being opened"), ()
    if not known.clients:
        return "warning", _("Reachable, nobody is connected"), ()
    return "good", _("Connected"), ()


def _endpoints(now: Present) -> tuple[Endpoint, ...]:
    first = configuration.get_int("/modbus/port")
    points = tuple(
        Endpoint(
            name=_("Charging point %(number)s") % {"number": number},
            port=first + number - 1,
            identifier=_("any, usually %(usual)s") % {"usual": _ANY_IDENTIFIER},
        )
        for number in now.connector_numbers
    )
    whole = Endpoint(name=_("Station"), port=first, identifier=str(STATION_IDENTIFIER))
    return (*points, whole)


def _client(client: ModbusClientSnapshot, now: Present) -> Client:
    written = formats.MISSING
    if client.last_write_at is not None:
        written = _("%(moment)s: register %(register)s = %(value)s") % {
            "moment": formats.moment(client.last_write_at, now.zone),
            "register": client.last_write_register,
            "value": client.last_write_value,
        }
    return Client(
        address=client.address,
        port=client.port,
        since=formats.moment(client.since, now.zone),
        read=formats.moment(client.last_read_at, now.zone),
        written=written,
    )


def _point(point: ModbusPointSnapshot, now: Present) -> ControlledPoint:
    written = ""
    if point.written_at is not None:
        written = _("%(moment)s by %(address)s") % {
            "moment": formats.moment(point.written_at, now.zone),
            "address": point.written_by,
        }
    limit = formats.ampere(point.limit_ma) if point.limit_ma is not None else _("none")
    if point.resumes_in_s:
        limit = _(
            "%(limit)s – charging goes on in %(seconds)d s: a pause ends once a minute at most, for the contactor"
        ) % {
            "limit": limit,
            "seconds": point.resumes_in_s,
        }
    return ControlledPoint(
        number=point.number,
        watchdog=_watchdog(point),
        set_point=_value(SetPoint(current=point.current_ma, power=point.power_w)) or _("none yet"),
        written=written,
        limit=limit,
    )


def _value(set_point: SetPoint) -> str:
    current = formats.ampere(set_point.current) if set_point.current is not None else ""
    power = formats.kilowatt(set_point.power) if set_point.power is not None else ""
    return " · ".join(each for each in (current, power) if each)


def _trail(now: Present) -> tuple[Trace, ...]:
    return tuple(
        Trace(
            at=formats.moment(row.at, now.zone),
            number=row.connector_id,
            value=_value(set_points.set_point_of(row)) or _("none"),
            client=row.client,
        )
        for row in set_points.recent(_SHOWN_SET_POINTS)
    )


def _watchdog(point: ModbusPointSnapshot) -> str:
    match Watchdog(point.watchdog):
        case Watchdog.OFF:
            return _("Off: the last set-point holds for ever")
        case Watchdog.ALIVE:
            return _("Heard; fallback in %(seconds)s s without a request") % {"seconds": point.remaining_s}
        case Watchdog.EXPIRED if point.heard_at is None:
            return _("Not heard since the start: the fallback holds")
    return _("Silent: the fallback holds")


# --- the register table


def _errors() -> Sequence[ErrorRow]:
    return [
        ErrorRow(
            name=words.word(words.FAULTS, code),
            bit=str(registers.ERROR_BITS.get(code, formats.MISSING)),
            number=number,
        )
        for code, number in registers.ERROR_NUMBERS.items()
    ]


def _rows(now: Present, asked: str) -> Sequence[RegisterRow]:
    unit, number = (Unit.STATION, None) if asked == "station" else (Unit.POINT, int(asked))
    view = None
    if now.hardware is not None and (number is None or now.hardware.point(number) is not None):
        view = registers_present.view(now.hardware, number, settings.read(), firmware=versions.os_version())
    rows = []
    for each in registers.table(unit, len(now.connector_numbers)):
        value, raw = formats.MISSING, ""
        if view is not None and each.read is not None:
            found = each.read(view)
            value = _("not known") if found is None else str(int(found) if isinstance(found, int) else found)
            raw = " ".join(f"{word:04X}" for word in each.encode(view))
        rows.append(
            RegisterRow(
                address=each.address,
                words=each.words,
                kind=str(registers.KIND_WORDS.get(each.kind, each.kind.value)),
                access=each.access,
                unit=each.unit,
                meaning=str(each.meaning),
                value=value or formats.MISSING,
                raw=raw,
            )
        )
    return rows
