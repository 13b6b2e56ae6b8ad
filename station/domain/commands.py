"""What somebody may ask of the station, and how the station answers.

A page button, a backend request and the station's own tasks all end in one of these. They travel as JSON
(`encode`/`decode`), so their fields are JSON values only.
"""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Origin(StrEnum):
    """Where a command comes from."""

    BACKEND = "backend"
    WEB = "web"
    MODBUS = "modbus"
    READER = "reader"
    LOCAL = "local"  # the station itself: command line, schedules, recovery


class Status(StrEnum):
    """What became of a command."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    SCHEDULED = "scheduled"
    UNLOCKED = "unlocked"
    UNLOCK_FAILED = "unlock_failed"
    NOT_SUPPORTED = "not_supported"
    NO_ANSWER = "no_answer"


class Refusal(StrEnum):
    """Why a command was refused; `station.ui.words` has the sentence for each."""

    CONNECTOR_UNKNOWN = "connector_unknown"
    CONNECTOR_OCCUPIED = "connector_occupied"
    CONNECTOR_FAULTED = "connector_faulted"
    CONNECTOR_UNAVAILABLE = "connector_unavailable"
    CONNECTOR_RESERVED = "connector_reserved"
    NO_CONNECTOR_FREE = "no_connector_free"
    REPLUG_NEEDED = "replug_needed"
    CONNECTOR_AMBIGUOUS = "connector_ambiguous"
    NO_SESSION = "no_session"
    TRANSACTION_UNKNOWN = "transaction_unknown"
    NO_LOCK = "no_lock"
    LOCK_STUCK = "lock_stuck"
    TAG_REFUSED = "tag_refused"
    TAG_INVALID = "tag_invalid"
    PROFILE_INVALID = "profile_invalid"
    START_PENDING = "start_pending"
    SESSIONS_RUNNING = "sessions_running"
    RECORDS_UNWRITABLE = "records_unwritable"
    METER_UNREADABLE = "meter_unreadable"
    METER_DOES_NOT_SIGN = "meter_does_not_sign"
    HARDWARE_ABSENT = "hardware_absent"
    SAFE_MODE = "safe_mode"
    HARDWARE_UNKNOWN = "hardware_unknown"
    TOO_LATE = "too_late"
    FLASHING_NOT_SUPPORTED = "flashing_not_supported"
    MALFORMED = "malformed"
    NOT_PERMITTED = "not_permitted"


@dataclass(frozen=True, kw_only=True)
class Command:
    """Base of all commands."""


@dataclass(frozen=True, kw_only=True)
class PresentTag(Command):
    """Act as if this card had been held to the reader (of that point, where given)."""

    id_tag: str
    connector_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class StartSession(Command):
    """Start charging for this card without a card (RemoteStartTransaction, start button of the page).

    `authorize`: ask about the card first (AuthorizeRemoteTxRequests). `charging_profile`: a TxProfile in OCPP form.
    Accepted means "will try", not "is charging".
    """

    id_tag: str
    connector_id: int | None = None
    charging_profile: dict[str, Any] | None = None
    authorize: bool = False


@dataclass(frozen=True, kw_only=True)
class StopSession(Command):
    """End the session of a charging point or of a transaction; `reason` is an OCPP 1.6 Reason."""

    connector_id: int | None = None
    transaction_id: int | None = None
    reason: str = "Local"


@dataclass(frozen=True, kw_only=True)
class UnlockConnector(Command):
    """Open the lock; a running session is ended first (OCPP 1.6 section 5.18)."""

    connector_id: int


@dataclass(frozen=True, kw_only=True)
class SetAvailability(Command):
    """Take a charging point (0: all and the station) out of service or back; scheduled while a session runs."""

    connector_id: int
    operative: bool


@dataclass(frozen=True, kw_only=True)
class Reset(Command):
    """Restart the software (`hard` false) or the computer and the controllers; `reason` ends running sessions.

    `stop_sessions` false lets sessions go on over a restart of the software.
    """

    hard: bool
    stop_sessions: bool = True
    reason: str = "SoftReset"


@dataclass(frozen=True, kw_only=True)
class Reserve(Command):
    """Keep a charging point (0: any) for a card (ReserveNow); `expires_at` in ISO 8601."""

    reservation_id: int
    connector_id: int
    id_tag: str
    expires_at: str
    parent_id_tag: str = ""


@dataclass(frozen=True, kw_only=True)
class CancelReservation(Command):
    """Give up a reservation."""

    reservation_id: int


@dataclass(frozen=True, kw_only=True)
class PrepareUpdate(Command):
    """Take free charging points out of service for a software update (`begin`), or give them back."""

    begin: bool


@dataclass(frozen=True, kw_only=True)
class FlashControllers(Command):
    """Write the firmware of the EVSE controllers anew; refused while a session runs."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The answer to a command. `data` holds what the asker needs beyond it, in JSON values."""

    status: Status
    reason: Refusal | None = None
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the station does, or will do, what was asked."""
        return self.status in {Status.ACCEPTED, Status.SCHEDULED, Status.UNLOCKED}

    def encode(self) -> dict[str, Any]:
        """Make the JSON form."""
        return {"status": self.status.value, "reason": self.reason and self.reason.value, "data": self.data}

    @classmethod
    def decode(cls, raw: dict[str, Any]) -> "Outcome":
        """Read the JSON form."""
        reason = raw.get("reason")
        return cls(status=Status(raw["status"]), reason=Refusal(reason) if reason else None, data=raw.get("data") or {})


def rejected(reason: Refusal, **data: Any) -> Outcome:
    """Refuse with a reason."""
    return Outcome(status=Status.REJECTED, reason=reason, data=data)


_COMMANDS: dict[str, type[Command]] = {
    kind.__name__: kind
    for kind in (
        PresentTag,
        StartSession,
        StopSession,
        UnlockConnector,
        SetAvailability,
        Reset,
        Reserve,
        CancelReservation,
        PrepareUpdate,
        FlashControllers,
    )
}


class CommandUnknown(ValueError):
    """The text does not name a command or its fields do not fit."""


def encode(command: Command) -> dict[str, Any]:
    """Make the JSON form: {"name": …, "data": {…}}."""
    return {"name": type(command).__name__, "data": asdict(command)}


def decode(raw: dict[str, Any]) -> Command:
    """Read the JSON form; raises CommandUnknown."""
    try:
        return _COMMANDS[raw["name"]](**raw["data"])
    except (KeyError, TypeError) as error:
        raise CommandUnknown(str(error)) from error
