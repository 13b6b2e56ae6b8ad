"""OCPP-J frames as a backend might send them: lawful ones made from the schemas of the standard, and spoiled ones."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ocpp_client.demo_backend.wire import FROM_BACKEND
from tests.reliability.fuzz.mutation import damage_text

_CALL = 2
# What belongs to the backend. Those which end the station's process are left to the tests of the started product.
ACTIONS = tuple(sorted(FROM_BACKEND))
_KEYS = (
    "HeartbeatInterval",
    "MeterValueSampleInterval",
    "ClockAlignedDataInterval",
    "ConnectionTimeOut",
    "MeterValuesSampledData",
    "LocalAuthListEnabled",
    "WebSocketPingInterval",
    "MinimumStatusDuration",
    "TransactionMessageAttempts",
    "ConnectorPhaseRotation",
    "NoSuchKey",
    "",
)
_VALUES = ("0", "-1", "1", "true", "FALSE", "999999999999", "1.5", "", "Energy.Active.Import.Register", "ß" * 500, "\n")
_DATES = (
    "2026-11-20T12:00:00Z",
    "0001-01-01T00:00:00+01:00",
    "9999-12-31T23:59:59-05:00",
    "2026-11-20T12:00:00",
    "2026-13-45T99:99:99Z",
    "",
)
_NUMBERS = (0, 1, 2, 3, -1, 60, 86_400, 2**31 - 1, 2**31, 2**63, -(2**63), 10**30)
_ODD: tuple[Any, ...] = (None, True, [], {}, "x", 0, -1, 1.5, 1e308, "9" * 5000, [[[[]]]], {"": {"": {}}})
_LISTS = ("", "CN=x", "0123456789abcdef", "04A2B3C4", "Accepted", "\x00", "𝄞" * 30, "a" * 256)


@dataclass(frozen=True)
class FuzzedFrame:
    """A message to the station. `owed` is the id which must be answered exactly once."""

    text: str | bytes
    owed: str | None


def frames(dice: random.Random, *, prefix: str) -> Iterator[FuzzedFrame]:
    """Make frames for ever."""
    number = 0
    while True:
        number += 1
        yield judged(_make(dice, f"{prefix}-{number}"))


def judged(text: str | bytes) -> FuzzedFrame:
    """Tell from a message itself whether it is owed an answer (OCPP-J 1.6 section 4.2.1)."""
    if isinstance(text, bytes):
        return FuzzedFrame(text, None)
    try:
        content = json.loads(text, parse_constant=_no_json)
        text.encode()
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return FuzzedFrame(text, None)
    match content:
        case [2, str(message_id), str(), dict()] if type(content[0]) is int and 1 <= len(message_id) <= 36:
            return FuzzedFrame(text, message_id)
    return FuzzedFrame(text, None)


def _no_json(constant: str) -> float:
    raise ValueError(constant)


def _make(dice: random.Random, message_id: str) -> str | bytes:
    action = dice.choice(ACTIONS)
    kind = dice.random()
    payload = _object(dice, _schema(action), odd=0.0 if kind < 0.35 else 0.08)
    if action == "ChangeConfiguration" and dice.random() < 0.9:
        payload = {"key": dice.choice(_KEYS), "value": dice.choice(_VALUES)}
    text = json.dumps([_CALL, message_id, action, payload], ensure_ascii=dice.random() < 0.5)
    if kind < 0.65:
        return text
    if kind < 0.85:
        return damage_text(dice, text)
    return _special(dice, message_id, action, payload)


def _special(dice: random.Random, message_id: str, action: str, payload: Any) -> str | bytes:
    depth = dice.choice((50, 900, 10_000))
    long = "x" * dice.choice((255, 65_536, 300_000))
    return dice.choice(
        (
            lambda: json.dumps([_CALL, message_id, action]),
            lambda: json.dumps([_CALL, message_id, action, payload, {}]),
            lambda: json.dumps([_CALL, dice.choice(_ODD), action, payload]),
            lambda: json.dumps([_CALL, message_id, dice.choice(_ODD), payload]),
            lambda: json.dumps([_CALL, message_id, action, dice.choice(_ODD)]),
            lambda: json.dumps([dice.choice((*_ODD, 3, 4, 5, "2", 2.0)), message_id, action, payload]),
            lambda: json.dumps([3, message_id, payload]),
            lambda: json.dumps([4, message_id, "GenericError", "", {}]),
            lambda: json.dumps([4, message_id]),
            lambda: json.dumps(dice.choice(_ODD)),
            lambda: f'[2,"{message_id}","{action}",{"[" * depth}{"]" * depth}]',
            lambda: f'[2,"{message_id}","DataTransfer",{{"vendorId":"v","data":"{long}"}}]',
            lambda: f'[2,"{message_id}","{action}",{{"a":1,"a":2,"a":{{"a":1}}}}]',
            lambda: f'[2,"{message_id}","{action}",{{"a":1e999}}]',
            lambda: f'[2,"{message_id}","DataTransfer",{{"vendorId":"\\ud800"}}]',
            lambda: f'[2,"{message_id}","NoSuchAction",{{}}]',
            lambda: f'[2,"{message_id * 20}","{action}",{{}}]',
            lambda: dice.randbytes(dice.randrange(200)),
            lambda: json.dumps([_CALL, message_id, action, payload]).encode(),
            lambda: "",
            lambda: " \n\t",
        )
    )()


@cache
def _schema(action: str) -> dict[str, Any]:
    text = resources.files("ocpp.v16.schemas").joinpath(f"{action}.json").read_text(encoding="utf-8-sig")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _object(dice: random.Random, schema: dict[str, Any], *, odd: float) -> Any:
    required = set(schema.get("required", ()))
    made = {}
    for name, inner in schema.get("properties", {}).items():
        if (name in required and dice.random() >= odd) or (name not in required and dice.random() < 0.5):
            made[name] = _value(dice, name, inner, odd=odd)
    if dice.random() < odd:
        made[dice.choice(_LISTS)] = dice.choice(_ODD)
    return made


def _value(dice: random.Random, name: str, schema: dict[str, Any], *, odd: float) -> Any:
    if dice.random() < odd:
        return dice.choice(_ODD)
    if "enum" in schema:
        return dice.choice(schema["enum"])
    match schema.get("type"):
        case "object":
            return _object(dice, schema, odd=odd)
        case "array":
            return [_value(dice, name, schema["items"], odd=odd) for _ in range(dice.choice((1, 1, 2, 5)))]
        case "integer":
            return dice.choice(_NUMBERS) if dice.random() < 0.5 else dice.randint(0, 3)
        case "number":
            return dice.choice((0, 6, 6.1, 16.05, 32, -1, 1e6)) if dice.random() < 0.9 else 1e300
        case "boolean":
            return dice.random() < 0.5
    return _text(dice, schema, odd=odd)


def _text(dice: random.Random, schema: dict[str, Any], *, odd: float) -> str:
    if schema.get("format") == "date-time":
        return dice.choice(_DATES) if dice.random() < 0.5 else _DATES[0]
    length = schema.get("maxLength", 50)
    text = dice.choice((*_LISTS, "x" * length, "x" * (length + 1)))
    return text[:length] if dice.random() > odd else text
