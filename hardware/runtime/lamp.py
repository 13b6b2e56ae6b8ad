"""What the topper lamp of a charging point shows (manuals, chapter OCPP errors)."""

from station.domain.faults import CATALOGUE, FaultCode
from station.domain.ports import LampColour, LampPattern

_COLOURS = {
    "Available": LampColour.GREEN,
    "Preparing": LampColour.YELLOW,
    "Reserved": LampColour.YELLOW,
    "Charging": LampColour.BLUE,
    "SuspendedEV": LampColour.BLUE,
    "SuspendedEVSE": LampColour.YELLOW,
    "Finishing": LampColour.GREEN,
    "Faulted": LampColour.RED,
    "Unavailable": LampColour.OFF,
}


def pattern_of(status: str, faults: frozenset[FaultCode]) -> LampPattern:
    """Choose the pattern: the fault with the fewest blinks wins, as people count from one."""
    blinks = [kind.lamp_blinks for code in faults if (kind := CATALOGUE[code]).lamp_blinks]
    if blinks:
        return LampPattern(colour=LampColour.RED, blinks=min(each for each in blinks if each))
    return LampPattern(colour=_COLOURS[status])
