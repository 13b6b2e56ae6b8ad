"""OCPP-J frames: what a text of the backend is, and which answer a broken one deserves (OCPP-J 1.6 section 4)."""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from ocpp.exceptions import FormationViolationError, InternalError, OCPPError

# The errata of OCPP-J limit ids to 36 characters; backends in the field write longer ones, which harm nobody.
MAX_MESSAGE_ID_LENGTH = 128
# OCPP-J 1.6 errata: the id of a CALLERROR whose cause has no readable id.
UNREADABLE_ID = "-1"
MAX_DESCRIPTION_LENGTH = 255

_READABLE_ID = re.compile(r'\s*\[\s*2\s*,\s*"([^"\\]{1,36})"')
_LOOKS_LIKE_CALL = re.compile(r"\s*\[\s*2\s*,")
_CALL, _RESULT, _ERROR = 2, 3, 4


@dataclass(frozen=True, kw_only=True)
class Call:
    """[2, id, action, payload]."""

    message_id: str
    action: str
    payload: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CallResult:
    """[3, id, payload]."""

    message_id: str
    payload: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CallError:
    """[4, id, code, description, details]."""

    message_id: str
    code: str
    description: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, message_id: str, error: OCPPError) -> "CallError":
        """Answer a call with an error of the `ocpp` package."""
        # Only the base class, which nobody raises, has no code.
        code = getattr(error, "code", InternalError.code)
        return cls(message_id=message_id, code=code, description=error.description, details=error.details)


Frame = Call | CallResult | CallError


class FrameMalformed(ValueError):
    """The text is no frame; `answer` is the CALLERROR it deserves, None where silence is right."""

    def __init__(self, reason: str, answer: CallError | None = None) -> None:
        super().__init__(reason)
        self.answer = answer


class MessageTypeUnknown(ValueError):
    """A message type this protocol version does not know; such frames are ignored (OCPP-J 1.6 section 4.1.3)."""


def parse(text: str | bytes) -> Frame:
    """Read a frame; raises FrameMalformed or MessageTypeUnknown."""
    if isinstance(text, bytes):
        raise FrameMalformed("a binary message")
    try:
        content = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise FrameMalformed("not JSON", _answer_to_unreadable(text)) from error
    if not isinstance(content, list) or not content:
        raise FrameMalformed("not a list")
    kind = content[0]
    if type(kind) is not int or kind not in {_CALL, _RESULT, _ERROR}:
        raise MessageTypeUnknown(repr(kind)[:40])
    if "\\u" in text:
        _refuse_half_characters(content, text)
    if kind == _CALL:
        return _call(content)
    return _answer(content)


def encode(frame: Frame) -> str:
    """Write a frame, without blanks."""
    match frame:
        case Call():
            content = [_CALL, frame.message_id, frame.action, frame.payload]
        case CallResult():
            content = [_RESULT, frame.message_id, frame.payload]
        case CallError():
            description = frame.description[:MAX_DESCRIPTION_LENGTH]
            content = [_ERROR, frame.message_id, frame.code, description, frame.details]
    return json.dumps(content, separators=(",", ":"), allow_nan=False)


def _call(content: list[Any]) -> Call:
    message_id = content[1] if len(content) > 1 else None
    if not isinstance(message_id, str) or not 1 <= len(message_id) <= MAX_MESSAGE_ID_LENGTH:
        raise _malformed(UNREADABLE_ID, f"the message id is no text of 1 to {MAX_MESSAGE_ID_LENGTH} characters")
    call_elements = 4
    if len(content) != call_elements:
        raise _malformed(message_id, f"a CALL has four elements, this has {len(content)}")
    _, _, action, payload = content
    if not isinstance(action, str):
        raise _malformed(message_id, "the action is no text")
    if payload is None:
        payload = {}
    if not isinstance(payload, dict):
        raise _malformed(message_id, "the payload is no object")
    return Call(message_id=message_id, action=action, payload=payload)


def _answer(content: list[Any]) -> CallResult | CallError:
    match content:
        case [3, str(message_id), dict(payload)]:
            return CallResult(message_id=message_id, payload=payload)
        case [3, str(message_id), None]:
            return CallResult(message_id=message_id, payload={})
        case [4, str(message_id), str(code), *rest]:
            description = rest[0] if rest and isinstance(rest[0], str) else ""
            details = rest[1] if rest[1:] and isinstance(rest[1], dict) else {}
            return CallError(message_id=message_id, code=code, description=description, details=details)
        case [int(), str(message_id), *_]:
            # A crippled answer still ends the waiting for it: treated as a refusal, not as silence.
            return CallError(message_id=message_id, code=FormationViolationError.code, description="malformed answer")
    raise FrameMalformed("an answer without a message id")


def _malformed(message_id: str, reason: str) -> FrameMalformed:
    answer = CallError(message_id=message_id, code=FormationViolationError.code, description=reason)
    return FrameMalformed(reason, answer)


def _answer_to_unreadable(text: str) -> CallError | None:
    readable = _READABLE_ID.match(text)
    if readable is None and _LOOKS_LIKE_CALL.match(text) is None:
        return None
    message_id = readable[1] if readable else UNREADABLE_ID
    return CallError(message_id=message_id, code=FormationViolationError.code, description="not valid JSON")


def _refuse_constant(constant: str) -> float:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _refuse_half_characters(content: list[Any], text: str) -> None:
    """Refuse lone surrogates: they are no text, no database and no log could take them."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise FrameMalformed("half a character", _answer_to_unreadable(text)) from error
    except RecursionError as error:
        raise FrameMalformed("nested too deeply", _answer_to_unreadable(text)) from error
