"""What station and backend have said to each other, read back from the lines of the message log."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

SENT, RECEIVED, FAULT = ">", "<", "!"
# A long frame is cut by the log and is no JSON any more; its head still says what it is.
_HEAD = re.compile(r'\[\s*(?P<kind>[234])\s*,\s*"(?P<id>[^"\\]{1,128})"(?:\s*,\s*"(?P<action>\w{1,50})")?')


class Kind(StrEnum):
    """What a frame is; BROKEN: nobody can say."""

    CALL = "call"
    RESULT = "result"
    ERROR = "error"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of the log. `payload` is None where the log has cut it; `code` and `description` are a CALLERROR's."""

    at: datetime
    is_sent: bool
    kind: Kind
    text: str
    message_id: str = ""
    action: str = ""
    payload: Mapping[str, Any] | None = None
    code: str = ""
    description: str = ""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request with its answer; either may be missing. `fault` says what breaks the schema of the answer."""

    number: int
    request: Frame | None = None
    answer: Frame | None = None
    fault: str = ""
    connector_id: int | None = None
    transaction_id: int | None = None

    @property
    def first(self) -> Frame:
        """The frame it begins with."""
        frame = self.request or self.answer
        assert frame is not None  # noqa: S101 – made of one at least
        return frame

    @property
    def action(self) -> str:
        """What was asked for."""
        return self.request.action if self.request else ""

    @property
    def by_station(self) -> bool:
        """Whether the station has asked."""
        return self.request.is_sent if self.request else not self.first.is_sent

    @property
    def latency(self) -> timedelta | None:
        """How long the answer took."""
        return self.answer.at - self.request.at if self.request and self.answer else None

    @property
    def is_faulty(self) -> bool:
        """Whether a side was refused or not understood."""
        return bool(self.fault) or any(
            frame.kind in {Kind.ERROR, Kind.BROKEN} for frame in (self.request, self.answer) if frame
        )


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What somebody looks for; None: everything. `by_station`: who has asked."""

    action: str | None = None
    by_station: bool | None = None
    connector_id: int | None = None
    transaction_id: int | None = None
    only_faults: bool = False

    def fits(self, exchange: Exchange) -> bool:
        """Return whether it is one of these."""
        return (
            self.action in {None, exchange.action}
            and self.by_station in {None, exchange.by_station}
            and self.connector_id in {None, exchange.connector_id}
            and self.transaction_id in {None, exchange.transaction_id}
            and (exchange.is_faulty or not self.only_faults)
        )


@dataclass
class _Pairing:
    """Exchanges in the order of their beginning."""

    found: list[Exchange] = field(default_factory=list)
    # Where a request of a side (True: the station) with an id stands.
    open: dict[tuple[bool, str], int] = field(default_factory=dict)
    connector_of: dict[int, int] = field(default_factory=dict)

    def take(self, frame: Frame) -> None:
        asked = None
        if frame.kind in {Kind.RESULT, Kind.ERROR}:
            asked = self.open.get((not frame.is_sent, frame.message_id))
        if asked is not None and self.found[asked].answer is None:
            self.found[asked] = self._placed(replace(self.found[asked], answer=frame))
            return
        place = len(self.found)
        if frame.kind is Kind.CALL:
            self.open[frame.is_sent, frame.message_id] = place
            self.found.append(self._placed(Exchange(number=place, request=frame)))
        else:
            self.found.append(Exchange(number=place, answer=frame))

    def mark(self, message_id: str, fault: str) -> None:
        place = self.open.get((True, message_id))
        if place is not None:
            self.found[place] = replace(self.found[place], fault=fault)

    def _placed(self, exchange: Exchange) -> Exchange:
        """Note the charging point and the transaction: a stop names the transaction only, a start gets it."""
        connector, transaction = _number(exchange.request, "connectorId"), _number(exchange.request, "transactionId")
        if transaction is None and exchange.action == "StartTransaction":
            transaction = _number(exchange.answer, "transactionId")
        if transaction is not None and connector is not None:
            self.connector_of[transaction] = connector
        if connector is None and transaction is not None:
            connector = self.connector_of.get(transaction)
        return replace(exchange, connector_id=connector, transaction_id=transaction)


def exchanges(lines: Iterable[str]) -> list[Exchange]:
    """Read the lines of a log, oldest first; what is no line of it is left out."""
    pairing = _Pairing()
    for at, direction, text in _split(lines):
        if direction == FAULT:
            try:
                message_id, fault = json.loads(text)
            except (ValueError, TypeError):
                continue
            pairing.mark(str(message_id), str(fault))
        else:
            pairing.take(_frame(at, direction == SENT, text))
    return pairing.found


def _split(lines: Iterable[str]) -> Iterator[tuple[datetime, str, str]]:
    for line in lines:
        stamp, _, rest = line.rstrip("\n").partition(" ")
        direction, _, text = rest.partition(" ")
        if direction not in {SENT, RECEIVED, FAULT}:
            continue
        try:
            yield datetime.fromisoformat(stamp), direction, text
        except ValueError:
            continue


def _frame(at: datetime, is_sent: bool, text: str) -> Frame:  # noqa: FBT001 – the fields of a line
    bare = Frame(at=at, is_sent=is_sent, kind=Kind.BROKEN, text=text)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return _cut(bare)
    match content:
        case [2, str(message_id), str(action), dict(payload)]:
            return replace(bare, kind=Kind.CALL, message_id=message_id, action=action, payload=payload)
        case [2, str(message_id), str(action), None]:
            return replace(bare, kind=Kind.CALL, message_id=message_id, action=action, payload={})
        case [3, str(message_id), dict(payload)]:
            return replace(bare, kind=Kind.RESULT, message_id=message_id, payload=payload)
        case [3, str(message_id), None]:
            return replace(bare, kind=Kind.RESULT, message_id=message_id, payload={})
        case [4, str(message_id), str(code), *rest]:
            description = rest[0] if rest and isinstance(rest[0], str) else ""
            details = rest[1] if rest[1:] and isinstance(rest[1], dict) else {}
            return replace(
                bare, kind=Kind.ERROR, message_id=message_id, payload=details, code=code, description=description
            )
    return bare


def _cut(bare: Frame) -> Frame:
    head = _HEAD.match(bare.text)
    if head is None:
        return bare
    kind = {"2": Kind.CALL, "3": Kind.RESULT, "4": Kind.ERROR}[head["kind"]]
    if kind is Kind.CALL and not head["action"]:
        return bare
    return replace(bare, kind=kind, message_id=head["id"], action=(head["action"] or "") if kind is Kind.CALL else "")


def _number(frame: Frame | None, name: str) -> int | None:
    value = frame.payload.get(name) if frame is not None and frame.payload is not None else None
    return value if type(value) is int else None
