"""What the topper lamp of a charging point shows (manuals, chapter OCPP errors)."""

import asyncio
import logging
from collections.abc import Iterable, Mapping

from hardware.runtime.point import ChargingPoint
from hardware.runtime.state import StationState
from station.concurrency import BackgroundTasks
from station.domain.connector import Phase
from station.domain.faults import CATALOGUE, FaultCode
from station.domain.ports import DeviceFailed, LampColour, LampPattern, StationIo

logger = logging.getLogger(__name__)

# One blink of a lamp takes about so long; an answer ends even where a hundred blinks are configured.
BLINK_S = 1.0
LONGEST_ANSWER_S = 10.0

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


# A card is accepted and the car awaited: blue like charging, and not yet steady.
_AUTHORIZED = LampPattern(colour=LampColour.BLUE, blinks=1)


def pattern_of(status: str, faults: frozenset[FaultCode], *, is_authorized: bool = False) -> LampPattern:
    """Choose the pattern: the fault with the fewest blinks wins, as people count from one."""
    blinks = [kind.lamp_blinks for code in faults if (kind := CATALOGUE[code]).lamp_blinks]
    if blinks:
        return LampPattern(colour=LampColour.RED, blinks=min(each for each in blinks if each))
    if any(CATALOGUE[code].faulted for code in faults):
        # One of the whole station leaves the status of its points as it is, and nobody can charge all the same.
        return LampPattern(colour=LampColour.RED)
    return _AUTHORIZED if is_authorized else LampPattern(colour=_COLOURS[status])


class Lamps:
    """The lamps of all charging points: the pattern of their state, or for a moment the answer to a card."""

    def __init__(self, io: StationIo | None, points: Mapping[int, ChargingPoint], state: StationState) -> None:
        self._io = io
        self._points = points
        self._state = state
        self._tasks = BackgroundTasks(logger)
        self._wanted: dict[int, LampPattern] = {}
        self._shown: dict[int, LampPattern] = {}
        self._answers: dict[int, LampPattern] = {}

    def point_changed(self, number: int) -> None:
        """Show the state of a point soon."""
        self._tasks.spawn(self._show_state(number))

    def station_changed(self) -> None:
        """Show a fault of the whole station at all lamps, or its end."""
        for number in self._points:
            self.point_changed(number)

    async def _show_state(self, number: int) -> None:
        point = self._points[number]
        pattern = pattern_of(
            point.ocpp_status,
            point.active_faults | self._state.active_faults,
            is_authorized=point.state.phase is Phase.AUTHORIZED,
        )
        self._wanted[number] = pattern
        # A fault goes before an answer to a card.
        if pattern.colour is LampColour.RED:
            self._answers.pop(number, None)
        await self._update(number)

    async def refuse(self, numbers: Iterable[int], repeat: int) -> None:
        """Blink yellow so many times (BlinkRepeat) where a card was refused, unless a fault is shown there."""
        numbers = [
            number for number in numbers if number in self._wanted and self._wanted[number].colour is not LampColour.RED
        ]
        if not repeat or not numbers:
            return
        answer = LampPattern(colour=LampColour.YELLOW, blinks=repeat)
        for number in numbers:
            self._answers[number] = answer
            await self._update(number)
        await asyncio.sleep(min(repeat * BLINK_S, LONGEST_ANSWER_S))
        for number in numbers:
            if self._answers.get(number) is answer:
                del self._answers[number]
                await self._update(number)

    async def _update(self, number: int) -> None:
        pattern = self._answers.get(number, self._wanted[number])
        if self._io is None or self._shown.get(number) == pattern:
            return
        self._shown[number] = pattern
        try:
            await self._io.show(number, pattern)
        except DeviceFailed:
            self._shown.pop(number, None)
