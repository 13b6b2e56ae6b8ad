"""OCPP-J frames as data, both directions side by side, and what the schemas say about them.

    CALL        [2, message id, action, payload]
    CALLRESULT  [3, message id, payload]
    CALLERROR   [4, message id, code, description, details]

Deliberately not shared with the station's own client: a codec that is wrong on both ends of a wire proves nothing.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib import resources
from typing import Any

from jsonschema import Draft4Validator, FormatChecker
from jsonschema.exceptions import ValidationError

Payload = dict[str, Any]

CALL, CALL_RESULT, CALL_ERROR = 2, 3, 4

# OCPP-J 1.6, 4.1.4: a message id has 36 characters at most, so that a UUID fits.
MAX_MESSAGE_ID_LENGTH = 36

# OCPP-J 1.6, 4.2.3 with the standard's own spelling, and the two corrected spellings stations in the field use as well.
ERROR_CODES = frozenset(
    {
        "NotImplemented",
        "NotSupported",
        "InternalError",
        "ProtocolError",
        "SecurityError",
        "FormationViolation",
        "FormatViolation",
        "PropertyConstraintViolation",
        "OccurenceConstraintViolation",
        "OccurrenceConstraintViolation",
        "TypeConstraintViolation",
        "GenericError",
    }
)

FROM_STATION = frozenset(
    {
        "Authorize",
        "BootNotification",
        "DataTransfer",
        "DiagnosticsStatusNotification",
        "FirmwareStatusNotification",
        "Heartbeat",
        "LogStatusNotification",
        "MeterValues",
        "SecurityEventNotification",
        "SignCertificate",
        "SignedFirmwareStatusNotification",
        "StartTransaction",
        "StatusNotification",
        "StopTransaction",
    }
)

FROM_BACKEND = frozenset(
    {
        "CancelReservation",
        "CertificateSigned",
        "ChangeAvailability",
        "ChangeConfiguration",
        "ClearCache",
        "ClearChargingProfile",
        "DataTransfer",
        "DeleteCertificate",
        "ExtendedTriggerMessage",
        "GetCompositeSchedule",
        "GetConfiguration",
        "GetDiagnostics",
        "GetInstalledCertificateIds",
        "GetLocalListVersion",
        "GetLog",
        "InstallCertificate",
        "RemoteStartTransaction",
        "RemoteStopTransaction",
        "ReserveNow",
        "Reset",
        "SendLocalList",
        "SetChargingProfile",
        "SignedUpdateFirmware",
        "TriggerMessage",
        "UnlockConnector",
        "UpdateFirmware",
    }
)


class FrameIsBroken(Exception):
    """The text is not an OCPP-J frame; the message id is known when it could still be read."""

    def __init__(self, reason: str, *, message_id: str | None = None) -> None:
        super().__init__(reason)
        self.message_id = message_id


@dataclass(frozen=True, kw_only=True)
class Call:
    """A question, in either direction."""

    message_id: str
    action: str
    payload: Payload

    def encode(self) -> str:
        """Write the CALL as text."""
        return _text([CALL, self.message_id, self.action, self.payload])


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """The answer to a question."""

    message_id: str
    payload: Payload

    def encode(self) -> str:
        """Write the CALLRESULT as text."""
        return _text([CALL_RESULT, self.message_id, self.payload])


@dataclass(frozen=True, kw_only=True)
class CallError:
    """The refusal of a question."""

    message_id: str
    code: str
    description: str = ""
    details: Payload = field(default_factory=dict)

    def encode(self) -> str:
        """Write the CALLERROR as text."""
        return _text([CALL_ERROR, self.message_id, self.code, self.description, self.details])


Message = Call | CallResult | CallError


def decode(text: str | bytes) -> Message:
    """Read one frame.

    Raises:
        FrameIsBroken: no JSON, no list, unknown type number, wrong number of elements or wrong types in them.
    """
    try:
        elements = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameIsBroken(f"not JSON: {error}") from error
    if not isinstance(elements, list):
        raise FrameIsBroken("a frame is a list")
    message_id = elements[1] if len(elements) > 1 and isinstance(elements[1], str) else None
    match elements:
        case [2, str(), str(action), dict(payload)]:
            message: Message = Call(message_id=elements[1], action=action, payload=payload)
        case [2, str(), str(action), None]:
            message = Call(message_id=elements[1], action=action, payload={})
        case [3, str(), dict(payload)]:
            message = CallResult(message_id=elements[1], payload=payload)
        case [3, str(), None]:
            message = CallResult(message_id=elements[1], payload={})
        case [4, str(), str(code), str(description), dict(details)]:
            message = CallError(message_id=elements[1], code=code, description=description, details=details)
        case _:
            raise FrameIsBroken("type number, number of elements or their types are wrong", message_id=message_id)
    if not 0 < len(message.message_id) <= MAX_MESSAGE_ID_LENGTH:
        raise FrameIsBroken("message id empty or longer than 36 characters", message_id=message_id)
    return message


def call_violations(action: str, payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (CALLERROR code, reason) for everything the schema of the request refuses."""
    yield from _violations(action, payload)


def result_violations(action: str, payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (CALLERROR code, reason) for everything the schema of the answer refuses."""
    yield from _violations(f"{action}Response", payload)


def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or ("T" in value and datetime.fromisoformat(value).tzinfo is not None)


_FORMATS = FormatChecker(formats=())
_FORMATS.checks("date-time", raises=ValueError)(_is_moment)

# Wrong spellings are the standard's (OCPP-J 1.6, 4.2.3).
_CODE_BY_KEYWORD = {
    "required": "OccurenceConstraintViolation",
    "minItems": "OccurenceConstraintViolation",
    "type": "TypeConstraintViolation",
    "additionalProperties": "FormationViolation",
}


def _violations(schema: str, payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    # Through text once more: 21.4 as a float is no multiple of 0.1, as a decimal it is.
    exact = json.loads(json.dumps(payload), parse_float=Decimal)
    for error in _validator(schema).iter_errors(exact):
        yield _CODE_BY_KEYWORD.get(str(error.validator), "PropertyConstraintViolation"), _reason(error)


def _reason(error: ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place or 'payload'}: {error.message}"[:500]


@functools.cache
def _validator(schema: str) -> Draft4Validator:
    text = (resources.files("ocpp.v16") / "schemas" / f"{schema}.json").read_text(encoding="utf-8-sig")
    return Draft4Validator(json.loads(text, parse_float=Decimal), format_checker=_FORMATS)


def _text(elements: list[Any]) -> str:
    return json.dumps(elements, separators=(",", ":"), ensure_ascii=False)
