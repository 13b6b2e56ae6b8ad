"""Register map of the simulated input/output module: auxiliary contacts of faults, the control box, and the lamps."""

from collections.abc import Sequence

from hardware.protocols.digital_io import COILS_PER_LAMP
from hardware.simulator.faults import Contact
from hardware.simulator.rtu import Function, IllegalAddress, IllegalFunction
from hardware.simulator.world import World


class IoRegisters:
    """Discrete inputs from 0 are the contacts in their order; the last one is that of the grid operator's control box.

    Coils from 0 are four lamp elements per charging point.
    """

    def __init__(self, *, world: World, contacts: Sequence[Contact]) -> None:
        self._world = world
        self._contacts = contacts

    def read_bits(self, function: Function, start: int, count: int) -> Sequence[bool]:
        """Read contacts by FC2, lamp elements by FC1."""
        if function is Function.READ_DISCRETE_INPUTS:
            bits = [self._world.contact_is_closed(contact.code, contact.connector) for contact in self._contacts]
            bits.append(self._world.dimming_closed)
        else:
            bits = [lit for lamp in self._world.lamps.values() for lit in lamp.lit]
        if start + count > len(bits):
            raise IllegalAddress
        return bits[start : start + count]

    def read_registers(self, _function: Function, _start: int, _count: int) -> Sequence[int]:
        """Refuse: this module has no registers."""
        raise IllegalFunction

    def write_bits(self, start: int, values: Sequence[bool]) -> None:
        """Switch lamp elements; darkening comes first, so that a change of colour never lights two."""
        if start + len(values) > COILS_PER_LAMP * len(self._world.lamps):
            raise IllegalAddress
        for coil, on in sorted(enumerate(values, start), key=lambda item: item[1]):
            lamp = self._world.lamps[coil // COILS_PER_LAMP + 1]
            lamp.switch(coil % COILS_PER_LAMP, on=on, now_s=self._world.now_s)

    def write_registers(self, _start: int, _values: Sequence[int]) -> None:
        """Refuse: this module has no registers."""
        raise IllegalFunction
