"""A plain Modbus RTU input/output module: auxiliary contacts as discrete inputs, lamp elements as coils.

::

    discrete inputs (FC2)      0, 1, 2 …    auxiliary contacts; the hardware configuration gives them their meaning
    coils (FC1, FC5, FC15)     0..3         lamp of charging point 1: green, blue, red, yellow
                               4..7         lamp of charging point 2, and so on
"""

from collections.abc import Sequence
from enum import IntEnum

from station.domain.ports import DeviceGarbled, LampColour

FIRST_INPUT = 0
# Discrete inputs a Modbus request may ask for (Modbus application protocol V1.1b3, section 6.2).
MAXIMUM_INPUTS = 2000


class LampElement(IntEnum):
    """Place of each colour among the four coils of a charging point."""

    GREEN = 0
    BLUE = 1
    RED = 2
    YELLOW = 3


COILS_PER_LAMP = len(LampElement)
_ELEMENTS: dict[LampColour, LampElement] = {
    LampColour.GREEN: LampElement.GREEN,
    LampColour.BLUE: LampElement.BLUE,
    LampColour.RED: LampElement.RED,
    LampColour.YELLOW: LampElement.YELLOW,
}
_COLOURS: dict[LampElement, LampColour] = {element: colour for colour, element in _ELEMENTS.items()}


def first_lamp_coil(connector_id: int) -> int:
    """Return the first of the four coils of a charging point (1, 2, …)."""
    return (connector_id - 1) * COILS_PER_LAMP


def encode_lamp(colour: LampColour) -> list[bool]:
    """Write a colour as the four coils of a charging point."""
    lit = _ELEMENTS.get(colour)
    return [element is lit for element in LampElement]


def decode_lamp(coils: Sequence[bool]) -> LampColour:
    """Read the colour from the four coils of a charging point; DeviceGarbled when two elements are lit."""
    lit = [element for element in LampElement if coils[element]]
    if len(lit) > 1:
        raise DeviceGarbled(f"lamp elements lit at once: {', '.join(element.name.lower() for element in lit)}")
    return _COLOURS[lit[0]] if lit else LampColour.OFF
