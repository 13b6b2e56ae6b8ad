"""What the processes tell one another: small frozen messages, and one way to send them in each direction.

To the OCPP process they travel over the Channels layer, to the control loop as a Celery task. Both end in Redis; a
message that is lost costs time, never a record, because the receiver also looks into the database. Nobody waits longer
than a moment for a Redis that hangs: a status row or the answer to a card must not depend on it.

Commands, which are answered, have a module of their own (`station.services.commands`).
"""

import asyncio
import logging
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, ClassVar, TypeVar, get_args, get_type_hints

from asgiref.sync import async_to_sync
from channels.exceptions import ChannelFull
from channels.layers import get_channel_layer
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from station.domain.authorization import AuthorizationStatus

logger = logging.getLogger(__name__)

# The name of the channel the OCPP process listens to.
OCPP_CHANNEL = "ocpp"
INFORM_TASK = "hardware.inform"
SEND_TIMEOUT_S = 1.0
# What the control loop has not heard by then it has read from the database.
_TASK_LIFE_S = 60.0


class MessageMalformed(ValueError):
    """The received JSON names no known message, or its fields do not fit."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """Base of all messages. `type` names the message on its way; fields are JSON values or moments."""

    type: ClassVar[str]


class MessageToOcpp(Message):
    """Base of the messages to the OCPP process."""


class MessageToControlLoop(Message):
    """Base of the messages to the control loop."""


# --- to the OCPP process


@dataclass(frozen=True, kw_only=True)
class StatusChanged(MessageToOcpp):
    """The status of a connector (0: the station) is another one; `revision` counts the changes of its row."""

    type: ClassVar[str] = "status.changed"
    connector_id: int
    revision: int
    status: str
    error_code: str
    info: str
    vendor_error_code: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class AuthorizeRequest(MessageToOcpp):
    """The backend shall be asked about a card; the answer is a `CardAuthorized` with the same `request_id`.

    `pay_first`: it has to approve the payment (PreAuthorize) before it is asked.
    """

    type: ClassVar[str] = "authorize.request"
    request_id: str
    id_tag: str
    timeout_s: float
    pay_first: bool = False


@dataclass(frozen=True, kw_only=True)
class OutboxChanged(MessageToOcpp):
    """There is something new to send in the outbox."""

    type: ClassVar[str] = "outbox.changed"


@dataclass(frozen=True, kw_only=True)
class FileStatusChanged(MessageToOcpp):
    """A file job owes the backend a status."""

    type: ClassVar[str] = "file.status.changed"


@dataclass(frozen=True, kw_only=True)
class SecurityEventRecorded(MessageToOcpp):
    """The security log has a critical entry the backend is owed."""

    type: ClassVar[str] = "security.event.recorded"


@dataclass(frozen=True, kw_only=True)
class DimmingChanged(MessageToOcpp):
    """The grid operator has begun or ended an intervention, of which the backend is to be told."""

    type: ClassVar[str] = "dimming.changed"


@dataclass(frozen=True, kw_only=True)
class CheckBackend(MessageToOcpp):
    """Somebody wants to know how the way to the backend stands: look at it now."""

    type: ClassVar[str] = "backend.check"


@dataclass(frozen=True, kw_only=True)
class TryBackend(MessageToOcpp):
    """Settings of the connection shall be tried, and saved if they work.

    `sealed` is the JSON of keys and values, encrypted because the authorization key is among them.
    """

    type: ClassVar[str] = "backend.try"
    trial_id: str
    sealed: str
    actor: str


# --- to the control loop


@dataclass(frozen=True, kw_only=True)
class CardAuthorized(MessageToControlLoop):
    """What the backend has said about a card.

    Without an answer it is away or silent. An answer without `status` is one that cannot be used: a CALLERROR, or a
    status that the standard does not know. `payment_declined`: it was not asked about the card, because it did not
    approve the payment.
    """

    type: ClassVar[str] = "card.authorized"
    request_id: str
    answered: bool
    status: AuthorizationStatus | None = None
    expires_at: datetime | None = None
    parent_id_tag: str | None = None
    payment_declined: bool = False


@dataclass(frozen=True, kw_only=True)
class StartAnswered(MessageToControlLoop):
    """What the backend has said to the StartTransaction of a session."""

    type: ClassVar[str] = "start.answered"
    session_id: int
    transaction_id: int | None
    status: AuthorizationStatus
    parent_id_tag: str | None = None


@dataclass(frozen=True, kw_only=True)
class ConfigurationChanged(MessageToControlLoop):
    """Configuration keys have new values."""

    type: ClassVar[str] = "configuration.changed"


@dataclass(frozen=True, kw_only=True)
class ProfilesChanged(MessageToControlLoop):
    """Charging profiles were installed or cleared."""

    type: ClassVar[str] = "profiles.changed"


_AnyMessage = TypeVar("_AnyMessage", bound=Message)
_TO_OCPP: tuple[type[MessageToOcpp], ...] = (
    StatusChanged,
    AuthorizeRequest,
    OutboxChanged,
    FileStatusChanged,
    SecurityEventRecorded,
    DimmingChanged,
    CheckBackend,
    TryBackend,
)
_TO_CONTROL_LOOP: tuple[type[MessageToControlLoop], ...] = (
    CardAuthorized,
    StartAnswered,
    ConfigurationChanged,
    ProfilesChanged,
)


# --- sending


async def send_to_ocpp(message: MessageToOcpp) -> bool:
    """Send a message to the OCPP process from an event loop; return whether Redis has taken it."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await get_channel_layer().send(OCPP_CHANNEL, encode(message))
    except (RedisError, OSError, ChannelFull) as error:
        # No news for a person: before Redis is up nobody listens, and the process finds what is owed in the database.
        logger.debug("The OCPP process was not told %s: %r", message.type, error)
        return False
    return True


def send_to_ocpp_sync(message: MessageToOcpp) -> bool:
    """Do the same as `send_to_ocpp` from synchronous code."""
    return async_to_sync(send_to_ocpp)(message)


def send_to_control_loop(message: MessageToControlLoop) -> bool:
    """Send a message to the control loop from synchronous code; return whether Redis has taken it."""
    from station.celery import HARDWARE_QUEUE

    try:
        post_task(INFORM_TASK, queue=HARDWARE_QUEUE, kwargs={"message": encode(message)}, expires_s=_TASK_LIFE_S)
    except (OperationalError, RedisError, OSError) as error:
        logger.debug("The control loop was not told %s: %r", message.type, error)
        return False
    return True


def post_task(name: str, *, queue: str, kwargs: dict[str, Any] | None = None, expires_s: float | None = None) -> None:
    """Put a Celery task into a queue; raises OperationalError, RedisError or OSError within a moment."""
    from station.celery import app
    from station.services import redis

    # Celery's own connection tries for six seconds to reach an absent Redis, and waits for ever for one that hangs.
    redis.client().ping()
    app.send_task(name, kwargs=kwargs, queue=queue, expires=expires_s, retry=False, ignore_result=True)


# --- the JSON form


def encode(message: Message) -> dict[str, Any]:
    """Make the JSON form: `type` and the fields."""
    values = {field.name: getattr(message, field.name) for field in fields(message)}
    encoded = {name: each.isoformat() if isinstance(each, datetime) else each for name, each in values.items()}
    return {"type": message.type, **encoded}


def decode_for_ocpp(raw: dict[str, Any]) -> MessageToOcpp:
    """Read a message to the OCPP process; raises MessageMalformed."""
    return _decode(raw, _TO_OCPP)


def decode_for_control_loop(raw: dict[str, Any]) -> MessageToControlLoop:
    """Read a message to the control loop; raises MessageMalformed."""
    return _decode(raw, _TO_CONTROL_LOOP)


_HINTS: dict[str, dict[str, Any]] = {kind.type: get_type_hints(kind) for kind in (*_TO_OCPP, *_TO_CONTROL_LOOP)}


def _decode(raw: dict[str, Any], kinds: tuple[type[_AnyMessage], ...]) -> _AnyMessage:
    kind = next((each for each in kinds if each.type == raw.get("type")), None)
    if kind is None:
        raise MessageMalformed(f"no message is called {raw.get('type')}")
    hints, values = _HINTS[kind.type], {}
    for field in fields(kind):
        try:
            values[field.name] = _read(raw[field.name], hints[field.name])
        except (KeyError, TypeError, ValueError) as error:
            raise MessageMalformed(f"{kind.type}: {field.name}") from error
    return kind(**values)


def _read(value: object, hint: Any) -> object:
    kinds = get_args(hint) or (hint,)
    if isinstance(value, str):
        if datetime in kinds:
            return datetime.fromisoformat(value)
        if AuthorizationStatus in kinds:
            return AuthorizationStatus(value)
    # No isinstance: True would pass for a number.
    if type(value) not in kinds:
        raise TypeError(value)
    return value
