"""The control API without its transport: which path and body make which action, and what is wrong with a bad one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import isfinite
from typing import Any, TypeAlias

from hardware.protocols.phoenix import CABLE_RATINGS_A
from hardware.simulator.faults import FaultUnknown
from hardware.simulator.field import TagUnusable
from hardware.simulator.point import CableIsFixed, ConnectorIsLocked
from hardware.simulator.signing import LONGEST_SIGNING_S, SigningFault
from hardware.simulator.snapshot import snapshot
from hardware.simulator.world import (
    ConnectorUnknown,
    LineDevice,
    LineMode,
    MeterDoesNotSign,
    MobileNetwork,
    NoVehicle,
    SimCard,
    VehicleChange,
    World,
)

# No car takes more than the largest current IEC 61851-1 can signal.
MAXIMUM_CURRENT_A = 80.0
MAXIMUM_SPEED = 100_000.0
MAXIMUM_BATTERY_WH = 1e9
# Far beyond any station; whether the connector exists is the world's business.
MAXIMUM_CONNECTOR = 1000
REFUSALS = (
    CableIsFixed,
    ConnectorIsLocked,
    ConnectorUnknown,
    FaultUnknown,
    MeterDoesNotSign,
    NoVehicle,
    TagUnusable,
)


class BodyMalformed(Exception):
    """The body of the request is not what the path expects."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Status and body of an answer; `allow` names the right methods when the method was wrong."""

    status: HTTPStatus
    body: Mapping[str, Any]
    allow: str | None = None


class Body:
    """The fields of a request body, taken one by one with their type; what is left over is a mistake."""

    def __init__(self, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise BodyMalformed("the body must be a JSON object")
        self._fields: dict[str, Any] = dict(fields)
        self._known: list[str] = []

    def boolean(self, name: str, *, default: bool | None = None) -> bool:
        """Take a truth value."""
        value = self._take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            raise BodyMalformed(f"{name} must be true or false")
        return value

    def optional_boolean(self, name: str) -> bool | None:
        """Take a truth value that may be missing."""
        value = self._take(name)
        if value is not None and not isinstance(value, bool):
            raise BodyMalformed(f"{name} must be true or false")
        return value

    def number(self, name: str, *, above: float, most: float) -> float | None:
        """Take a number that may be missing."""
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise BodyMalformed(f"{name} must be a number")
        if not above < value <= most:
            raise BodyMalformed(f"{name} must be above {above:g} and at most {most:g}")
        return float(value)

    def whole(self, name: str, *, least: int, most: int) -> int | None:
        """Take a whole number that may be missing."""
        value = self._take(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BodyMalformed(f"{name} must be a whole number from {least} to {most}")
        return value

    def text(self, name: str, *, choices: tuple[str, ...] | None = None, default: str | None = None) -> str:
        """Take a text."""
        value = self._take(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or (choices is not None and value not in choices):
            raise BodyMalformed(f"{name} must be {'a text' if choices is None else ' or '.join(choices)}")
        return value

    def finish(self) -> None:
        """Raise BodyMalformed when something was given that nobody knows."""
        if self._fields:
            known = ", ".join(self._known) or "none"
            raise BodyMalformed(f"unknown field {', '.join(sorted(self._fields))}; known are: {known}")

    def _take(self, name: str) -> Any:
        self._known.append(name)
        return self._fields.pop(name, None)


Action: TypeAlias = Callable[[World, Body], None]
PointAction: TypeAlias = Callable[[World, int, Body], None]


class ControlApi:
    """Answers requests for one world. Each is carried out at once and as a whole, or not at all."""

    def __init__(self, *, world: World, bring_up_to_date: Callable[[], None], keep: Callable[[], None]) -> None:
        """`bring_up_to_date` lets the world arrive at now; `keep` saves the meters' counts before they are told."""
        self._world = world
        self._bring_up_to_date = bring_up_to_date
        self._keep = keep

    def answer(self, method: str, path: str, fields: Any) -> Answer:
        """Carry out one request; `fields` is the parsed body, an empty object without one."""
        if path == "/state":
            return self._state() if method == "GET" else _wrong_method("GET")
        action = self._action(path)
        if action is None:
            return Answer(status=HTTPStatus.NOT_FOUND, body={"error": f"there is nothing at {path}"})
        if method != "POST":
            return _wrong_method("POST")
        self._bring_up_to_date()
        try:
            action(self._world, Body(fields))
        except BodyMalformed as error:
            return Answer(status=HTTPStatus.BAD_REQUEST, body={"error": str(error)})
        except REFUSALS as refusal:
            return Answer(status=HTTPStatus.CONFLICT, body={"error": str(refusal)})
        return self._state()

    def _state(self) -> Answer:
        self._bring_up_to_date()
        self._keep()
        return Answer(status=HTTPStatus.OK, body=snapshot(self._world))

    def _action(self, path: str) -> Action | None:
        if path in STATION_ACTIONS:
            return STATION_ACTIONS[path]
        match path.split("/"):
            case ["", "connectors", number, name] if name in POINT_ACTIONS and number.isascii() and number.isdigit():
                point_action, connector = POINT_ACTIONS[name], int(number)
                if connector in self._world.points:
                    return lambda world, body: point_action(world, connector, body)
        return None


def _wrong_method(allowed: str) -> Answer:
    body = {"error": f"the method here is {allowed}"}
    return Answer(status=HTTPStatus.METHOD_NOT_ALLOWED, body=body, allow=allowed)


def _vehicle_change(body: Body) -> VehicleChange:
    return VehicleChange(
        max_current_a=body.number("max_current_a", above=0, most=MAXIMUM_CURRENT_A),
        phases=body.whole("phases", least=1, most=3),
        ready=body.optional_boolean("ready"),
        battery_wh=body.number("battery_wh", above=0, most=MAXIMUM_BATTERY_WH),
    )


def _plug(world: World, connector: int, body: Body) -> None:
    change = _vehicle_change(body)
    cable_a = body.whole("cable_a", least=min(CABLE_RATINGS_A), most=max(CABLE_RATINGS_A))
    body.finish()
    if cable_a is not None and cable_a not in CABLE_RATINGS_A:
        raise BodyMalformed(f"cable_a must be one of {', '.join(map(str, CABLE_RATINGS_A))}")
    world.plug(connector, change, cable_a=cable_a)


def _unplug(world: World, connector: int, body: Body) -> None:
    side = body.text("side", choices=("vehicle", "station"), default="vehicle")
    force = body.boolean("force", default=False)
    body.finish()
    if side == "vehicle":
        world.unplug_vehicle(connector)
    else:
        world.unplug_station(connector, force=force)


def _vehicle(world: World, connector: int, body: Body) -> None:
    change = _vehicle_change(body)
    body.finish()
    world.change_vehicle(connector, change)


def _button(world: World, connector: int, body: Body) -> None:
    body.finish()
    world.press_button(connector)


def _point_fault(world: World, connector: int, body: Body) -> None:
    code, active = body.text("code"), body.boolean("active", default=True)
    body.finish()
    world.set_fault(code, active=active, connector=connector)


def _lock(world: World, connector: int, body: Body) -> None:
    fails = body.boolean("fail")
    body.finish()
    world.set_lock_failure(connector, fails=fails)


def _line(world: World, connector: int, body: Body) -> None:
    mode = LineMode(body.text("mode", choices=tuple(LineMode)))
    device = LineDevice(body.text("device", choices=tuple(LineDevice), default=LineDevice.CONTROLLER))
    body.finish()
    world.set_line(connector, device, mode)


def _signing(world: World, connector: int, body: Body) -> None:
    seconds = body.number("seconds", above=0, most=LONGEST_SIGNING_S)
    fault = body.text("fault", choices=("", *SigningFault), default="")
    active = body.boolean("active", default=True)
    body.finish()
    if seconds is None and not fault:
        raise BodyMalformed("seconds (up to 30) or fault is needed")
    world.set_signing(
        connector,
        seconds=seconds,
        fault=SigningFault(fault) if fault else None,
        active=active,
    )


def _station_fault(world: World, body: Body) -> None:
    code, active = body.text("code"), body.boolean("active", default=True)
    body.finish()
    world.set_fault(code, active=active, connector=None)


def _swipe(world: World, body: Body) -> None:
    uid = body.text("uid")
    connector = body.whole("connector", least=0, most=MAXIMUM_CONNECTOR)
    is_legic = body.boolean("legic", default=False)
    body.finish()
    world.swipe(uid, connector=connector, is_legic=is_legic)


def _network(world: World, body: Body) -> None:
    backend = body.boolean("backend")
    body.finish()
    world.set_backend_link(up=backend)


def _modem(world: World, body: Body) -> None:
    signal = body.whole("signal", least=0, most=100)
    sim = body.text("sim", choices=("", *SimCard), default="")
    registration = body.text("registration", choices=("", *MobileNetwork), default="")
    body.finish()
    if signal is None and not sim and not registration:
        raise BodyMalformed("signal (0 to 100), sim or registration is needed")
    world.set_modem(
        percent=signal,
        sim=SimCard(sim) if sim else None,
        registration=MobileNetwork(registration) if registration else None,
    )


def _dimming(world: World, body: Body) -> None:
    closed = body.boolean("closed")
    body.finish()
    world.set_dimming(closed=closed)


def _io_line(world: World, body: Body) -> None:
    mode = LineMode(body.text("mode", choices=tuple(LineMode)))
    body.finish()
    world.set_io_line(mode)


def _speed(world: World, body: Body) -> None:
    factor = body.number("factor", above=0, most=MAXIMUM_SPEED)
    body.finish()
    if factor is None:
        raise BodyMalformed("factor must be a number")
    world.set_speed(factor)


def _reset(world: World, body: Body) -> None:
    body.finish()
    world.reset()


POINT_ACTIONS: dict[str, PointAction] = {
    "plug": _plug,
    "unplug": _unplug,
    "vehicle": _vehicle,
    "button": _button,
    "fault": _point_fault,
    "lock": _lock,
    "line": _line,
    "signing": _signing,
}
STATION_ACTIONS: dict[str, Action] = {
    "/fault": _station_fault,
    "/reader/swipe": _swipe,
    "/network": _network,
    "/modem": _modem,
    "/dimming": _dimming,
    "/io/line": _io_line,
    "/speed": _speed,
    "/reset": _reset,
}
