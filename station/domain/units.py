"""One integer type per physical quantity, so that a milliampere cannot be added to a watt unnoticed."""

from typing import NewType

MilliAmpere = NewType("MilliAmpere", int)
MilliVolt = NewType("MilliVolt", int)
MilliHertz = NewType("MilliHertz", int)
Watt = NewType("Watt", int)
WattHour = NewType("WattHour", int)
MilliSecond = NewType("MilliSecond", int)

# IEC 61851-1, table A.7: a current below 6 A cannot be signalled on the control pilot, only a pause can.
MINIMUM_CURRENT = MilliAmpere(6_000)
# Nominal voltage per phase for every conversion between watts and amperes (OCPP 1.6 profiles never use a measured one).
NOMINAL_VOLTAGE_V = 230
PAUSE = MilliAmpere(0)
