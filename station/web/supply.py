"""What the station draws from its mains connection per phase, and what each charging point may draw and why."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from station.services import configuration
from station.ui import format as formats
from station.ui import words
from station.web.present import Present

# OCPP 1.6 section 9.1.7: R, S and T are the phases of the supply.
_SUPPLY = "RST"
_NAMES = ("L1", "L2", "L3")


@dataclass(frozen=True, kw_only=True)
class PhaseView:
    """One phase of the mains connection."""

    name: str
    drawn: str


@dataclass(frozen=True, kw_only=True)
class PointLimit:
    """What a charging point may draw now, and what sets that."""

    number: int
    limit: str
    source: str


def phases(present: Present) -> tuple[PhaseView, ...]:
    """Return the current in each supply phase; a point that measures nothing adds nothing."""
    points = present.hardware.points if present.hardware else ()
    sums = sums_ma(((point.number, point.currents_ma) for point in points), rotations())
    return tuple(
        PhaseView(name=name, drawn=formats.ampere(drawn, decimals=2)) for name, drawn in zip(_NAMES, sums, strict=True)
    )


def sums_ma(
    points: Iterable[tuple[int, Sequence[int | None]]], wiring: Mapping[int, str]
) -> tuple[int | None, int | None, int | None]:
    """Return the sum on each supply phase of what charging points draw on theirs; None: nobody measures it."""
    sums: dict[str, int | None] = dict.fromkeys(_SUPPLY)
    for number, currents in points:
        for letter, current in zip(wiring.get(number, _SUPPLY), currents, strict=True):
            if current is not None:
                sums[letter] = (sums[letter] or 0) + current
    return sums["R"], sums["S"], sums["T"]


def limits(present: Present) -> tuple[PointLimit, ...]:
    """Return the limit of each charging point; none while the control loop is away."""
    return tuple(
        PointLimit(
            number=point.number,
            limit=formats.ampere(point.limit_ma),
            source=words.word(words.LIMIT_SOURCES, point.limit_source) if point.limit_source else "",
        )
        for point in (present.hardware.points if present.hardware else ())
    )


def rotations() -> dict[int, str]:
    """Return how each charging point is wired to the mains; one that is not named counts as straight."""
    found: dict[int, str] = {}
    for item in configuration.get("ConnectorPhaseRotation").split(","):
        number, _dot, rotation = item.strip().partition(".")
        if number.isdigit() and sorted(rotation) == sorted(_SUPPLY):
            found[int(number)] = rotation
    return found
