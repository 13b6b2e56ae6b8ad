"""Flashing the controllers by command."""

from collections.abc import Mapping

from hardware.runtime.command_handlers.handler import Handler
from hardware.runtime.flashing import Flasher
from hardware.runtime.point import ChargingPoint
from station.domain.commands import Command, FlashControllers, Outcome, Refusal, Status, rejected


class FlashingHandlers:
    """Orders the firmware of every controller that can be written.

    Others stay as they are. The public Modbus description of the Phoenix board has no registers for its firmware; its
    maker writes it with a programme of his own over another plug.
    """

    def __init__(self, points: Mapping[int, ChargingPoint], flasher: Flasher) -> None:
        self._points = points
        self._flasher = flasher
        self.handlers: dict[type[Command], Handler] = {FlashControllers: self._flash}

    async def _flash(self, _command: FlashControllers, _origin: str) -> Outcome:
        busy = [point.number for point in self._points.values() if point.busy]
        if busy:
            return rejected(Refusal.SESSIONS_RUNNING, connectors=busy)
        able = [point for point in self._points.values() if self._flasher.is_able(point.number)]
        if not able:
            return Outcome(status=Status.NOT_SUPPORTED, reason=Refusal.FLASHING_NOT_SUPPORTED)
        for point in able:
            await self._flasher.order(point)
        return Outcome(status=Status.ACCEPTED, data={"connectors": [point.number for point in able]})
