"""What the station draws from its mains connection per phase, and what each charging point may draw and why."""

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
    sums: list[int | None] = [None, None, None]
    rotations = _rotations(configuration.get("ConnectorPhaseRotation"))
    for point in present.hardware.points if present.hardware else ():
        for letter, current in zip(rotations.get(point.number, _SUPPLY), point.currents_ma, strict=True):
            if current is not None:
                index = _SUPPLY.index(letter)
                sums[index] = (sums[index] or 0) + current
    return tuple(
        PhaseView(name=name, drawn=formats.ampere(drawn, decimals=2)) for name, drawn in zip(_NAMES, sums, strict=True)
    )


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


def _rotations(value: str) -> dict[int, str]:
    """Read the wiring of each point; one that is not known counts as straight."""
    found: dict[int, str] = {}
    for item in value.split(","):
        number, _dot, rotation = item.strip().partition(".")
        if number.isdigit() and sorted(rotation) == sorted(_SUPPLY):
            found[int(number)] = rotation
    return found
