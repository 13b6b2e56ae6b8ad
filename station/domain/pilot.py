"""From the letters of the control pilot to events: debounced, so that the machine never sees electrical noise."""

from dataclasses import dataclass, replace

from station.domain.connector import CarPaused, CarWantsEnergy, Event, PlugInserted, PlugRemoved, SocketFreed
from station.domain.ports import Pilot
from station.domain.units import MilliAmpere

# Two observations this far apart must agree; a pilot that chatters between B and C does not (fault catalogue F18).
DEBOUNCE_S = 0.03
_WANTING = frozenset({Pilot.C, Pilot.D})
CONNECTED = frozenset({Pilot.B, Pilot.C, Pilot.D})


@dataclass(frozen=True, kw_only=True)
class PilotFilter:
    """What was last believed of the pilot, and what is being doubted since when (monotonic seconds)."""

    connected: bool = False
    wants: bool = False
    cable_present: bool = False
    doubt: tuple[bool, bool, bool] | None = None
    doubt_since_s: float = 0.0

    def observe(
        self, pilot: Pilot, cable: MilliAmpere | None, *, at_s: float
    ) -> tuple["PilotFilter", tuple[Event, ...]]:
        """Take one observation; return the new belief and the events it means.

        E and F say nothing about the car (no pilot, or station not available): the belief stays, unless an empty
        socket (cable 0) disproves it. A cable rating of None (unknown, tethered) counts as "no loose cable".
        """
        mute = pilot in {Pilot.E, Pilot.F}
        connected = (self.connected and cable != 0) if mute else pilot in CONNECTED
        wants = (self.wants and connected) if mute else pilot in _WANTING
        seen = (connected, wants, bool(cable))
        if seen == (self.connected, self.wants, self.cable_present):
            return replace(self, doubt=None), ()
        if self.doubt != seen:
            return replace(self, doubt=seen, doubt_since_s=at_s), ()
        if at_s - self.doubt_since_s < DEBOUNCE_S:
            return self, ()
        events: list[Event] = []
        if connected and not self.connected:
            events.append(PlugInserted())
        if self.connected and not connected:
            events.append(PlugRemoved())
        if not connected and not cable and (self.connected or self.cable_present):
            events.append(SocketFreed())
        if connected and wants != (self.wants and self.connected):
            events.append(CarWantsEnergy() if wants else CarPaused())
        return PilotFilter(connected=connected, wants=wants, cable_present=bool(cable)), tuple(events)
