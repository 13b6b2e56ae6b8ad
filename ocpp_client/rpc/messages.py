"""Messages of the `ocpp` package and their JSON objects.

Only the names of a message's own fields are converted (meter_start, meterStart): what they hold is passed through as it
is, except for dataclasses inside. A list of a thousand cards costs nothing that way.
"""

from dataclasses import MISSING, fields
from functools import cache
from typing import Any

from ocpp.v16 import call


def action_of(message: Any) -> str:
    """Return the action of a message of `ocpp.v16.call`."""
    return type(message).__name__


def payload_of(message: Any) -> dict[str, Any]:
    """Return the JSON object of a dataclass of the `ocpp` package; fields without a value are left out."""
    attributes = vars(message)
    names = _names(tuple(attributes))
    return {name: _plain(value) for name, value in zip(names, attributes.values(), strict=True) if value is not None}


def arguments_of(action: str, payload: dict[str, Any]) -> dict[str, Any]:
    """Return the known fields of a request by their names in `ocpp.v16.call`; unknown ones are left out."""
    return {attribute: payload[name] for name, attribute in _attributes(action) if name in payload}


def message_of(action: str, payload: dict[str, Any]) -> Any:
    """Return a request as the message of `ocpp.v16.call`; the schema, not the class, says which fields it must have."""
    kind = getattr(call, action)
    return kind(**dict.fromkeys(_without_default(kind)) | arguments_of(action, payload))


def _plain(value: Any) -> Any:
    if isinstance(value, str | int | float | dict):
        return value
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return payload_of(value)


@cache
def _without_default(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind) if each.default is MISSING and each.default_factory is MISSING)


@cache
def _names(attributes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_wire_name(attribute) for attribute in attributes)


@cache
def _attributes(action: str) -> tuple[tuple[str, str], ...]:
    return tuple((_wire_name(field.name), field.name) for field in fields(getattr(call, action)))


def _wire_name(attribute: str) -> str:
    first, *others = attribute.split("_")
    return first + "".join(part.capitalize() for part in others)
