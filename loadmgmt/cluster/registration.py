"""What a station tells a master to become a member, as bounded JSON."""

import json
import re
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from station.domain.units import MilliAmpere

VERSION = 1
MAX_BYTES = 1_024
MAX_POINTS = 2
MAX_STATIONS = 100
_MAX_NAME = 64
_MAX_CURRENT_MA = 200_000
# A serial number is part of the names of keys and users: no blank, no wildcard, nothing that ends a line.
_STATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
_HASH = re.compile(r"[0-9a-f]{64}")
_NONCE = re.compile(r"[0-9a-f]{32}")


class RegistrationIsMalformed(ValueError):
    """What was handed in is no registration; the message says what is wrong with it."""


def is_station_id(text: str) -> bool:
    """Return whether a serial number can take part in a cluster."""
    return _STATION.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Station:
    """What the others know of a station: who it is, its charging points, and what each may draw without a master."""

    station: str
    name: str
    points: tuple[int, ...]
    rating: MilliAmpere
    fallback: MilliAmpere


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A station that wants to be a member. Its password is known to itself only; the nonce names the answer."""

    who: Station
    password_hash: str
    nonce: str

    def encode(self) -> bytes:
        """Return the message."""
        content = asdict(self.who) | {"v": VERSION, "hash": self.password_hash, "nonce": self.nonce}
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read a message; raise `RegistrationIsMalformed`."""
        content = _object(message)
        expected = {field.name for field in fields(Station)} | {"v", "hash", "nonce"}
        if content.keys() != expected or content["v"] != VERSION:
            raise RegistrationIsMalformed("other fields than version 1 has")
        who = Station(
            station=_matching(content["station"], _STATION, "station"),
            name=_name(content["name"]),
            points=_points(content["points"]),
            rating=_current(content["rating"], "rating"),
            fallback=_current(content["fallback"], "fallback"),
        )
        return cls(
            who=who,
            password_hash=_matching(content["hash"], _HASH, "hash"),
            nonce=_matching(content["nonce"], _NONCE, "nonce"),
        )


@dataclass(frozen=True, kw_only=True)
class MasterInfo:
    """Who leads a cluster, and for how long; two masters compare it."""

    station: str
    name: str
    leading_s: int

    def encode(self) -> bytes:
        """Return the message."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Read a message; raise `RegistrationIsMalformed`."""
        content = _object(message)
        if content.keys() != {"station", "name", "leading_s"}:
            raise RegistrationIsMalformed("other fields than version 1 has")
        leading_s = content["leading_s"]
        if type(leading_s) is not int or leading_s < 0:
            raise RegistrationIsMalformed("leading_s is no duration")
        return cls(
            station=_matching(content["station"], _STATION, "station"),
            name=_name(content["name"]),
            leading_s=leading_s,
        )


def _object(message: bytes) -> dict[str, Any]:
    if len(message) > MAX_BYTES:
        raise RegistrationIsMalformed(f"{len(message)} bytes are more than {MAX_BYTES}")
    try:
        content = json.loads(message)
    except (ValueError, RecursionError) as problem:
        raise RegistrationIsMalformed("not JSON") from problem
    if not isinstance(content, dict):
        raise RegistrationIsMalformed("not an object")
    return content


def _matching(value: object, pattern: re.Pattern[str], what: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise RegistrationIsMalformed(f"{what} makes no sense")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MAX_NAME or not value.isprintable():
        raise RegistrationIsMalformed("name makes no sense")
    return value


def _points(value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or value != list(range(1, len(value) + 1)) or not 1 <= len(value) <= MAX_POINTS:
        raise RegistrationIsMalformed("points are numbered 1 or 1, 2")
    if any(type(number) is not int for number in value):
        raise RegistrationIsMalformed("points are numbered 1 or 1, 2")
    return tuple(value)


def _current(value: object, what: str) -> MilliAmpere:
    if type(value) is not int or not 0 <= value <= _MAX_CURRENT_MA:
        raise RegistrationIsMalformed(f"{what} is no current")
    return MilliAmpere(value)
