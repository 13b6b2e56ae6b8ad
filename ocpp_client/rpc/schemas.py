"""Payloads checked against the JSON schemas of the standard, as the `ocpp` package ships them.

Checked in the event loop by code compiled from the schemas, which costs next to nothing; only what does not pass is
looked at again by the thorough validator, which names every defect.
"""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import fastjsonschema
from jsonschema import Draft4Validator
from jsonschema.exceptions import ValidationError
from ocpp.exceptions import (
    FormationViolationError,
    OccurenceConstraintViolationError,
    OCPPError,
    PropertyConstraintViolationError,
    TypeConstraintViolationError,
)

_CALL, _RESULT = 2, 3
_SCHEMAS = resources.files("ocpp.v16") / "schemas"
# Their schemas ask for multiples of 0.1, which binary fractions are not.
_DECIMAL_CALLS = frozenset({"SetChargingProfile", "RemoteStartTransaction"})
_DECIMAL_RESULTS = frozenset({"GetCompositeSchedule"})
_ERRORS: dict[str, type[OCPPError]] = {
    "type": TypeConstraintViolationError,
    "required": OccurenceConstraintViolationError,
    "minItems": OccurenceConstraintViolationError,
    "additionalProperties": FormationViolationError,
}
# Of several defects the first of these is told.
_ORDER = (TypeConstraintViolationError, OccurenceConstraintViolationError)
_HUGE = 2**63


def check_call(action: str, payload: dict[str, Any], *, lenient: bool = False) -> None:
    """Raise an OCPPError for a request that breaks its schema; `lenient` lets unknown fields pass."""
    _refuse_huge_numbers(action, payload)
    _check(_CALL, action, payload, decimal=action in _DECIMAL_CALLS, lenient=lenient)


def check_result(action: str, payload: dict[str, Any], *, lenient: bool = False) -> None:
    """Raise an OCPPError for an answer that breaks its schema."""
    _check(_RESULT, action, payload, decimal=action in _DECIMAL_RESULTS, lenient=lenient)


def _check(kind: int, action: str, payload: dict[str, Any], *, decimal: bool, lenient: bool) -> None:
    if _passes(kind, action, payload):
        return
    if decimal:
        payload = json.loads(json.dumps(payload), parse_float=Decimal)
    validator = _thorough(kind, action)
    worst: tuple[int, type[OCPPError], str] | None = None
    for defect in _defects(validator.iter_errors(payload), lenient=lenient):
        error = _ERRORS.get(str(defect.validator), PropertyConstraintViolationError)
        rank = _ORDER.index(error) if error in _ORDER else len(_ORDER)
        if worst is None or rank < worst[0]:
            place = ".".join(str(part) for part in defect.absolute_path) or action
            worst = (rank, error, f"{place}: {defect.validator}")
        if rank == 0:
            break
    if worst is not None:
        raise worst[1](worst[2])


def _refuse_huge_numbers(action: str, payload: dict[str, Any]) -> None:
    """Refuse what no current, second or id can be: the database has 64 bits, and decimals refuse to divide 1e300."""
    pending: list[Any] = [payload]
    while pending:
        match pending.pop():
            case dict(fields):
                pending.extend(fields.values())
            case list(items):
                pending.extend(items)
            case int() | float() as number if not -_HUGE <= number < _HUGE:
                raise PropertyConstraintViolationError(f"{action}: a number out of range")


def _passes(kind: int, action: str, payload: dict[str, Any]) -> bool:
    try:
        _compiled(kind, action)(payload)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


@cache
def _thorough(kind: int, action: str) -> Draft4Validator:
    """Make a validator of our own of the package's schema, which names the defect; seldom needed.

    The package keeps one for all, and whoever asks first decides how its numbers are read; decimals divide no floats.
    """
    parse_float = Decimal if action in (_DECIMAL_CALLS if kind == _CALL else _DECIMAL_RESULTS) else float
    return Draft4Validator(json.loads(_schema(kind, action), parse_float=parse_float))


@cache
def _compiled(kind: int, action: str) -> Callable[[Any], Any]:
    # The compiled code counts in floats; where that makes it doubt, the thorough validator decides.
    schema = json.loads(_schema(kind, action))
    compiled: Callable[[Any], Any] = fastjsonschema.compile(schema, use_default=False, use_formats=False)
    return compiled


def _schema(kind: int, action: str) -> str:
    name = action if kind == _CALL else f"{action}Response"
    return (_SCHEMAS / f"{name}.json").read_text(encoding="utf-8-sig")


def _defects(errors: Iterator[ValidationError], *, lenient: bool) -> Iterator[ValidationError]:
    return (error for error in errors if not (lenient and error.validator == "additionalProperties"))
