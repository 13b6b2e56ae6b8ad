"""What station and backend have said to each other, read back from the lines of the message log."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

_SENT, _FAULT = ">", "!"
# Thousands of lines are read for one page: the head of a frame is enough to list it; the rest is read when it is shown.
_LINE = re.compile(
    r"(?P<at>\S+) (?P<direction>[<>!]) "
    r'(?P<text>(?:\[\s*(?P<kind>[234])\s*,\s*"(?P<id>[^"\\]{1,128})"\s*(?:,\s*"(?P<word>\w{1,50})")?)?.*)',
    re.DOTALL,
)
_NUMBER = re.compile(r'"(connectorId|transactionId)"\s*:\s*(-?\d{1,18})\b')
# What the log has cut is as long as this, or has a run of letters shortened; another frame has its end.
_CUT_AT, _SHORTENED = 4000, "…"


class Kind(StrEnum):
    """What a frame is; BROKEN: nobody can say."""

    CALL = "call"
    RESULT = "result"
    ERROR = "error"
    BROKEN = "broken"


_KINDS = {"2": Kind.CALL, "3": Kind.RESULT, "4": Kind.ERROR}


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of the log."""

    at: datetime
    is_sent: bool
    kind: Kind
    text: str
    message_id: str = ""
    action: str = ""
    code: str = ""

    @property
    def payload(self) -> Mapping[str, Any] | None:
        """What it carries, of a CALLERROR the details; None where the log has cut the frame, or where it has none."""
        place = {Kind.CALL: 3, Kind.RESULT: 2, Kind.ERROR: 4}.get(self.kind)
        content = self._content()
        found = content[place] if place is not None and len(content) > place else None
        return found if isinstance(found, dict) else None

    @property
    def description(self) -> str:
        """What a CALLERROR says."""
        content = self._content()
        return content[3] if len(content) > 3 and isinstance(content[3], str) else ""  # noqa: PLR2004 – [4, id, code, text]

    def _content(self) -> list[Any]:
        try:
            content = json.loads(self.text)
        except (ValueError, RecursionError):
            return []
        return content if isinstance(content, list) else []


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


@dataclass(kw_only=True)
class _Pair:
    request: Frame | None = None
    answer: Frame | None = None
    fault: str = ""
    connector_id: int | None = None
    transaction_id: int | None = None


@dataclass
class _Pairing:
    """Exchanges in the order of their beginning."""

    pairs: list[_Pair] = field(default_factory=list)
    # The last request of a side (True: the station) with an id.
    asked: dict[tuple[bool, str], _Pair] = field(default_factory=dict)
    connector_of: dict[int, int] = field(default_factory=dict)

    def take(self, frame: Frame) -> None:
        if frame.kind in {Kind.RESULT, Kind.ERROR}:
            pair = self.asked.get((not frame.is_sent, frame.message_id))
            if pair is not None and pair.answer is None:
                pair.answer = frame
                if pair.request is not None and pair.request.action == "StartTransaction":
                    self._place(pair, _numbers(frame))
                return
        if frame.kind is Kind.CALL:
            pair = _Pair(request=frame)
            self.asked[frame.is_sent, frame.message_id] = pair
            self._place(pair, _numbers(frame))
        else:
            pair = _Pair(answer=frame)
        self.pairs.append(pair)

    def mark(self, text: str) -> None:
        try:
            message_id, fault = json.loads(text)
        except (ValueError, TypeError):
            return
        pair = self.asked.get((True, str(message_id)))
        if pair is not None:
            pair.fault = str(fault)

    def _place(self, pair: _Pair, numbers: Mapping[str, int]) -> None:
        """Note the charging point and the transaction: a stop names the transaction only, a start gets it."""
        pair.connector_id = numbers.get("connectorId", pair.connector_id)
        pair.transaction_id = numbers.get("transactionId", pair.transaction_id)
        if pair.transaction_id is None:
            return
        if pair.connector_id is not None:
            self.connector_of[pair.transaction_id] = pair.connector_id
        else:
            pair.connector_id = self.connector_of.get(pair.transaction_id)


def exchanges(lines: Iterable[str]) -> list[Exchange]:
    """Read the lines of a log, oldest first; what is no line of it is left out."""
    pairing = _Pairing()
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        if found["direction"] == _FAULT:
            pairing.mark(found["text"])
            continue
        try:
            at = datetime.fromisoformat(found["at"])
        except ValueError:
            continue
        pairing.take(_frame(found, at))
    return [Exchange(number=number, **vars(pair)) for number, pair in enumerate(pairing.pairs)]


def _frame(found: re.Match[str], at: datetime) -> Frame:
    text, is_sent, word = found["text"], found["direction"] == _SENT, found["word"] or ""
    kind = _KINDS.get(found["kind"] or "", Kind.BROKEN)
    is_whole = len(text) >= _CUT_AT or _SHORTENED in text or text.rstrip().endswith("]")
    if not is_whole or (kind in {Kind.CALL, Kind.ERROR} and not word):
        kind = Kind.BROKEN
    if kind is Kind.BROKEN:
        return Frame(at=at, is_sent=is_sent, kind=kind, text=text)
    return Frame(
        at=at,
        is_sent=is_sent,
        kind=kind,
        text=text,
        message_id=found["id"],
        action=word if kind is Kind.CALL else "",
        code=word if kind is Kind.ERROR else "",
    )


def _numbers(frame: Frame) -> dict[str, int]:
    """Return the first number of each name, wherever it stands."""
    return {name: int(digits) for name, digits in reversed(_NUMBER.findall(frame.text))}
