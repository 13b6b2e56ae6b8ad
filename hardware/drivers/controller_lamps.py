"""Driver of topper lamps at the switching outputs of the controllers, one output per coloured element."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hardware.drivers.lamp import Blinker
from station.domain.ports import DeviceFailed, DeviceRefused, LampColour, LampPattern

# A board that lost power has dark outputs: everything is written again after this time.
REFRESH_S = 10.0
# After a failed write the lamp waits this long: its state matters less than a free bus.
_RETRY_S = 1.0


class SwitchingOutputs(Protocol):
    """A controller with outputs that the bus may switch."""

    async def switch_outputs(self, wanted: Mapping[str, bool]) -> None:
        """Switch outputs by their names; DeviceRefused while they signal something else."""


@dataclass(frozen=True, kw_only=True)
class OutputLamp:
    """The lamp of one charging point: its controller, and the output of each colour; one without stays dark."""

    controller: SwitchingOutputs
    outputs: Mapping[LampColour, str]


class ControllerLamps:
    """The lamps of a station; they blink while they are open."""

    def __init__(self, lamps: Mapping[int, OutputLamp]) -> None:
        self._lamps = dict(lamps)
        # The colour of each lamp, and when it was written.
        self._shown: dict[int, tuple[LampColour, float]] = {}
        self._refused: dict[int, str] = {}
        self._blinker = Blinker(self._light)

    @property
    def problem(self) -> str:
        """Why a controller does not let its outputs be switched; its silence is a fault of its own."""
        return next(iter(self._refused.values()), "")

    async def open(self) -> None:
        """Begin to show; the controllers are opened by whoever charges with them."""
        self._blinker.start()

    async def close(self) -> None:
        await self._blinker.stop()

    async def show(self, connector_id: int, pattern: LampPattern) -> None:
        """Show a pattern; a charging point without a lamp has none to show."""
        if connector_id in self._lamps:
            self._blinker.show(connector_id, pattern)

    async def _light(self, connector_id: int, colour: LampColour) -> float | None:
        now_s = asyncio.get_running_loop().time()
        shown, written_s = self._shown.get(connector_id, (None, now_s))
        fresh_s = written_s + REFRESH_S - now_s
        if shown is colour and fresh_s > 0:
            return fresh_s
        self._shown.pop(connector_id, None)
        lamp = self._lamps[connector_id]
        try:
            await lamp.controller.switch_outputs({name: each is colour for each, name in lamp.outputs.items()})
        except DeviceRefused as refusal:
            self._refused[connector_id] = str(refusal)
            return _RETRY_S
        except DeviceFailed:
            return _RETRY_S
        self._refused.pop(connector_id, None)
        self._shown[connector_id] = (colour, now_s)
        return REFRESH_S
