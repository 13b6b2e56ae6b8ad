"""Moments whose clock may turn out to have been wrong (a station without a battery-backed clock, a time set late).

Beside the wall clock's word a stamp carries the identity of the computer's boot and the steady time within it, which no
setting of the clock touches. When the clock can be trusted, every stamp of this boot gets its true moment back, and so
does one of an earlier boot whose clock was evidently wrong, as well as it can be known.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from station.domain.moments import EARLIEST_STAMP

# A clock that is slewed instead of set leaves small differences, which are no error worth a correction.
TOLERANCE = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """A moment: the wall clock's word, and the steady milliseconds since a boot, without which it stays as it is."""

    at: datetime
    boot_id: str = ""
    steady_ms: int | None = None

    def moved_to(self, at: datetime) -> "Stamp":
        """Return the stamp of another moment, as the same clock would have told it."""
        if self.steady_ms is None:
            return replace(self, at=at)
        return replace(self, at=at, steady_ms=self.steady_ms + round((at - self.at) / timedelta(milliseconds=1)))

    def since(self, earlier: "Stamp") -> timedelta:
        """Return the time that has passed since an earlier stamp, by the steady clock where that is possible."""
        if self.steady_ms is None or earlier.steady_ms is None or self.boot_id != earlier.boot_id:
            return self.at - earlier.at
        return timedelta(milliseconds=self.steady_ms - earlier.steady_ms)

    def encode(self) -> dict[str, Any]:
        """Make the JSON form."""
        return {"at": self.at.isoformat(), "boot_id": self.boot_id, "steady_ms": self.steady_ms}

    @classmethod
    def decode(cls, data: Mapping[str, Any]) -> "Stamp":
        """Read the JSON form; raises KeyError, TypeError or ValueError."""
        return cls(at=datetime.fromisoformat(data["at"]), boot_id=data["boot_id"], steady_ms=data["steady_ms"])

    @property
    def is_to_be_corrected(self) -> bool:
        """Whether it tells a time that cannot be, and its true moment will be known when the clock is right."""
        return self.at < EARLIEST_STAMP and self.steady_ms is not None

    @property
    def boot_began(self) -> datetime | None:
        """The moment of the boot by this stamp's word."""
        return None if self.steady_ms is None else self.at - timedelta(milliseconds=self.steady_ms)


def true_boots(stamps: Iterable[Stamp], now: Stamp) -> dict[str, datetime]:
    """Return when the boots really began that made these stamps, and the present one, by a clock that is right now.

    `stamps` come in the order in which they were made; none can be before `EARLIEST_STAMP`. The clock of an earlier
    boot was wrong when it told a time before that, before an earlier stamp, or after the present boot began, and when
    it was set in between. Its last word stands if that one is possible; otherwise the boot is taken to have ended when
    the following one began, which is the latest it can.
    """
    if now.boot_began is None:
        return {}
    boots: dict[str, list[Stamp]] = {}
    for stamp in stamps:
        if stamp.steady_ms is not None and stamp.boot_id != now.boot_id:
            boots.setdefault(stamp.boot_id, []).append(stamp)
    began = {now.boot_id: now.boot_began}
    lowest = _lowest_possible(boots, now.boot_began)
    ceiling = now.boot_began
    for boot_id, made in reversed(boots.items()):
        last = max(made, key=lambda stamp: stamp.steady_ms or 0)
        steady = timedelta(milliseconds=last.steady_ms or 0)
        highest = now.boot_began + TOLERANCE
        if all(lowest[boot_id] <= stamp.at <= highest and _agree(stamp, last) for stamp in made):
            ceiling = min(ceiling, *(stamp.at for stamp in made))
            # Something else of this boot may still be to be corrected: a correction can be interrupted.
            began[boot_id] = last.at - steady
            continue
        possible = lowest[boot_id] <= last.at <= ceiling
        began[boot_id] = (last.at if possible else ceiling) - steady
        ceiling = min(ceiling, began[boot_id])
    return began


def _agree(one: Stamp, other: Stamp) -> bool:
    """Return whether two stamps of a boot were made by a clock that was not set in between."""
    if one.boot_began is None or other.boot_began is None:
        return True
    return abs(one.boot_began - other.boot_began) <= TOLERANCE


def _lowest_possible(boots: dict[str, list[Stamp]], latest: datetime) -> dict[str, datetime]:
    """Return for each boot the moment before which it cannot have begun: that of the last possible stamp before it."""
    lowest, earliest = {}, EARLIEST_STAMP
    for boot_id, made in boots.items():
        lowest[boot_id] = earliest
        earliest = max(earliest, *(stamp.at for stamp in made if stamp.at <= latest), earliest)
    return lowest


def corrected(stamp: Stamp, boots: dict[str, datetime]) -> Stamp:
    """Return a stamp with its true moment, given when boots really began; one that was right stays as it is."""
    began = boots.get(stamp.boot_id)
    if began is None or stamp.steady_ms is None:
        return stamp
    true_at = began + timedelta(milliseconds=stamp.steady_ms)
    return stamp if abs(true_at - stamp.at) <= TOLERANCE else replace(stamp, at=true_at)
