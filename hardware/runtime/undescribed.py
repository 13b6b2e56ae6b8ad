"""What runs where nobody knows which hardware the station has: hardware.json is missing, or wrong."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hardware.runtime.kept_off import KeptOff
from hardware.runtime.stand_in import StandIn, WhyNone
from station.domain.commands import Refusal
from station.domain.snapshot import DescriptionMistake
from station.host import PowerPort

MISSING, WRONG = "hardware_missing", "hardware_wrong"
_INFO = {
    MISSING: "No hardware.json: the station cannot charge",
    WRONG: "hardware.json is wrong: the station cannot charge",
}
# What one write changes: time, length, and with a rename the file itself.
_Stamp = tuple[int, int, int] | None


class Undescribed(StandIn):
    """Stands in until the file is written; another process then controls them.

    `points`: those of the last description that was right; the run before may have left their energy on.
    """

    def __init__(
        self,
        points: Iterable[KeptOff],
        *,
        file: Path,
        stamp: _Stamp,
        mistakes: tuple[DescriptionMistake, ...],
        connectors: int,
        power: PowerPort,
        redis: Any,
    ) -> None:
        code = MISSING if stamp is None else WRONG
        super().__init__(
            points,
            WhyNone(
                codes=(code,),
                info=_INFO[code],
                event="station.undescribed",
                data={"cause": code, "mistakes": [vars(each) for each in mistakes]},
                refusal=Refusal.HARDWARE_UNKNOWN,
                mistakes=mistakes,
            ),
            connectors=connectors,
            power=power,
            redis=redis,
            is_over=lambda: stamp_of(file) != stamp,
        )


def stamp_of(file: Path) -> _Stamp:
    """Return what tells one content of a file from the next; None: there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
