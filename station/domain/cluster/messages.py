"""What the stations of a cluster tell one another: reports of the members, grants of the leader, as bounded JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from station.domain.allocation import ALL_PHASES
from station.domain.units import PAUSE, MilliAmpere

# A station has two charging points at most.
MOST_POINTS = 2
LARGEST_MESSAGE = 2_048
_LARGEST_CURRENT_MA = 1_000_000
_LARGEST_NUMBER = 2**53
_LONGEST_S = 10_000_000.0
_STATION = re.compile(r"[!-~]{1,64}", re.ASCII)
_RANDOM_ID = re.compile(r"[0-9A-Za-z_-]{1,32}", re.ASCII)


class MessageIsMalformed(ValueError):
    """The bytes are no message of this protocol; the argument names the field."""


@dataclass(frozen=True, kw_only=True)
class PointReport:
    """One charging point.

    `active`: a session that could draw current. `limit`: what every other source leaves it. `held`: the most its
    controller may be holding. `flowing`: the highest measured phase current. `waiting_s`: how long it has been active.
    `granted`: the limit of the cluster in force when the report was sent (`Member.report` fills it in).
    """

    number: int
    active: bool
    limit: MilliAmpere
    held: MilliAmpere
    flowing: MilliAmpere = PAUSE
    phases: frozenset[int] = ALL_PHASES
    waiting_s: float = 0.0
    granted: MilliAmpere = PAUSE


@dataclass(frozen=True, kw_only=True)
class GrantId:
    """Which grant: `epoch` names one start of one leader, which numbers its grants."""

    epoch: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a member wants and holds.

    `run`: random for every start of the member; `seq`: 1, 2, … within it. `fallback`: what each of its points may draw
    when the leader is lost. `lease_of`: the newest grant it has taken. `rise_in_s`: how long until it may rise to its
    fallback if nothing is heard, for people only.
    """

    station: str
    run: str
    seq: int
    fallback: MilliAmpere
    points: tuple[PointReport, ...]
    lease_of: GrantId | None = None
    rise_in_s: float | None = None

    def encode(self) -> bytes:
        """Return the report as JSON."""
        return _encode(
            {
                "station": self.station,
                "run": self.run,
                "seq": self.seq,
                "fallback_ma": _bounded(self.fallback),
                "lease_of": [self.lease_of.epoch, self.lease_of.number] if self.lease_of else None,
                "rise_in_s": None if self.rise_in_s is None else _seconds(self.rise_in_s),
                "points": [
                    {
                        "number": point.number,
                        "active": point.active,
                        "limit_ma": _bounded(point.limit),
                        "held_ma": _bounded(point.held),
                        "flowing_ma": _bounded(point.flowing),
                        "phases": sorted(point.phases),
                        "waiting_s": _seconds(point.waiting_s),
                        "granted_ma": _bounded(point.granted),
                    }
                    for point in self.points
                ],
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a report; raises MessageIsMalformed."""
        message = _Object(_decode(raw))
        points = message.items("points", most=MOST_POINTS)
        report = cls(
            station=message.text("station", _STATION),
            run=message.text("run", _RANDOM_ID),
            seq=message.whole("seq", least=1),
            fallback=message.current("fallback_ma"),
            lease_of=message.grant_id("lease_of"),
            rise_in_s=message.optional_seconds("rise_in_s"),
            points=tuple(_point(_Object(point)) for point in points),
        )
        if not report.points or len({point.number for point in report.points}) != len(report.points):
            raise MessageIsMalformed("points")
        return report


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What the leader lends a member: the grant `number` of its `epoch`, the answer to the report `seq` of that `run`.

    `limits` None: a greeting, which lends nothing and renews nothing; a member that takes it takes nothing any more
    that another leader has sent before. `waiting`: points that get nothing because others were first. `dimmed`: points
    that get less because the grid operator dims the cluster; a leader that does not know the field dims nobody.
    """

    epoch: str
    number: int
    run: str
    seq: int
    valid_s: float
    limits: Mapping[int, MilliAmpere] | None
    waiting: frozenset[int] = field(default_factory=frozenset)
    dimmed: frozenset[int] = field(default_factory=frozenset)

    def encode(self) -> bytes:
        """Return the grant as JSON."""
        return _encode(
            {
                "epoch": self.epoch,
                "number": self.number,
                "run": self.run,
                "seq": self.seq,
                "valid_s": self.valid_s,
                "limits_ma": None
                if self.limits is None
                else {str(key): self.limits[key] for key in sorted(self.limits)},
                "waiting": sorted(self.waiting),
                "dimmed": sorted(self.dimmed),
            }
        )

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a grant; raises MessageIsMalformed."""
        message = _Object(_decode(raw))
        return cls(
            epoch=message.text("epoch", _RANDOM_ID),
            number=message.whole("number", least=1),
            run=message.text("run", _RANDOM_ID),
            seq=message.whole("seq", least=1),
            valid_s=message.seconds("valid_s"),
            limits=message.limits("limits_ma"),
            waiting=frozenset(message.numbers("waiting")),
            dimmed=frozenset(message.optional_numbers("dimmed")),
        )


def _point(message: "_Object") -> PointReport:
    return PointReport(
        number=message.whole("number", least=1),
        active=message.flag("active"),
        limit=message.current("limit_ma"),
        held=message.current("held_ma"),
        flowing=message.current("flowing_ma"),
        phases=message.phases("phases"),
        waiting_s=message.seconds("waiting_s"),
        granted=message.current("granted_ma"),
    )


def _bounded(current: int) -> int:
    return min(max(current, 0), _LARGEST_CURRENT_MA)


def _seconds(span_s: float) -> float:
    return round(min(max(span_s, 0.0), _LONGEST_S), 3)


def _encode(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii")


def _decode(raw: bytes) -> object:
    if len(raw) > LARGEST_MESSAGE:
        raise MessageIsMalformed("length")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MessageIsMalformed("json") from error


class _Object:
    """Reads the fields of a JSON object, each with its type and bounds."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise MessageIsMalformed("object")
        self._fields: dict[str, Any] = value

    def text(self, name: str, pattern: re.Pattern[str]) -> str:
        value = self._fields.get(name)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise MessageIsMalformed(name)
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name)
        if not isinstance(value, bool):
            raise MessageIsMalformed(name)
        return value

    def whole(self, name: str, *, least: int = 0, most: int = _LARGEST_NUMBER) -> int:
        return _whole(self._fields.get(name), name, least=least, most=most)

    def current(self, name: str) -> MilliAmpere:
        return MilliAmpere(self.whole(name, most=_LARGEST_CURRENT_MA))

    def seconds(self, name: str) -> float:
        value = self._fields.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _LONGEST_S:
            raise MessageIsMalformed(name)
        return float(value)

    def optional_seconds(self, name: str) -> float | None:
        return None if self._fields.get(name) is None else self.seconds(name)

    def items(self, name: str, *, most: int) -> list[object]:
        value = self._fields.get(name)
        if not isinstance(value, list) or len(value) > most:
            raise MessageIsMalformed(name)
        return value

    def numbers(self, name: str) -> list[int]:
        return [_whole(value, name, least=1) for value in self.items(name, most=MOST_POINTS)]

    def optional_numbers(self, name: str) -> list[int]:
        return self.numbers(name) if name in self._fields else []

    def phases(self, name: str) -> frozenset[int]:
        found = frozenset(_whole(value, name, least=1, most=3) for value in self.items(name, most=3))
        if not found:
            raise MessageIsMalformed(name)
        return found

    def grant_id(self, name: str) -> GrantId | None:
        if self._fields.get(name) is None:
            return None
        value = self.items(name, most=2)
        if len(value) != 2 or not isinstance(value[0], str) or not _RANDOM_ID.fullmatch(value[0]):  # noqa: PLR2004
            raise MessageIsMalformed(name)
        return GrantId(epoch=value[0], number=_whole(value[1], name, least=1))

    def limits(self, name: str) -> dict[int, MilliAmpere] | None:
        value = self._fields.get(name)
        if value is None:
            return None
        if not isinstance(value, dict) or not 1 <= len(value) <= MOST_POINTS:
            raise MessageIsMalformed(name)
        found = {}
        for key, limit in value.items():
            if not re.fullmatch(r"[1-9][0-9]{0,8}", key, re.ASCII):
                raise MessageIsMalformed(name)
            found[int(key)] = MilliAmpere(_whole(limit, name, least=0, most=_LARGEST_CURRENT_MA))
        return found


def _whole(value: object, name: str, *, least: int, most: int = _LARGEST_NUMBER) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise MessageIsMalformed(name)
    return value
