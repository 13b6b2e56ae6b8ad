"""Driver of topper lamps at the switching outputs of the controllers, one output per coloured element."""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hardware.drivers.lamp import phase
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
    """The lamps of a station. One task times the blinking while they are open."""

    def __init__(self, lamps: Mapping[int, OutputLamp]) -> None:
        self._lamps = dict(lamps)
        self._patterns: dict[int, tuple[LampPattern, float]] = {}
        self._shown: dict[int, LampColour] = {}
        self._refused: dict[int, str] = {}
        self._changed = asyncio.Event()
        self._blinking: asyncio.Task[None] | None = None

    @property
    def problem(self) -> str:
        """Why a controller does not let its outputs be switched; its silence is a fault of its own."""
        return next(iter(self._refused.values()), "")

    async def open(self) -> None:
        """Begin to show; the controllers are opened by whoever charges with them."""
        self._blinking = asyncio.create_task(self._blink(), name="lamps")

    async def close(self) -> None:
        if self._blinking is not None:
            self._blinking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._blinking
            self._blinking = None

    async def show(self, connector_id: int, pattern: LampPattern) -> None:
        """Show a pattern; a charging point without a lamp has none to show."""
        if connector_id not in self._lamps:
            return
        self._patterns[connector_id] = (pattern, asyncio.get_running_loop().time())
        self._changed.set()

    async def _blink(self) -> None:
        loop = asyncio.get_running_loop()
        refresh_at_s = loop.time() + REFRESH_S
        while True:
            self._changed.clear()
            if loop.time() >= refresh_at_s:
                self._shown.clear()
                refresh_at_s = loop.time() + REFRESH_S
            wait_s = refresh_at_s - loop.time()
            for connector_id, (pattern, since_s) in list(self._patterns.items()):
                lit, remaining_s = phase(pattern, loop.time() - since_s)
                if not await self._light(connector_id, pattern.colour if lit else LampColour.OFF):
                    wait_s = min(wait_s, _RETRY_S)
                if remaining_s is not None:
                    wait_s = min(wait_s, remaining_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, 0.01)):
                    await self._changed.wait()

    async def _light(self, connector_id: int, colour: LampColour) -> bool:
        if self._shown.get(connector_id) is colour:
            return True
        self._shown.pop(connector_id, None)
        lamp = self._lamps[connector_id]
        try:
            await lamp.controller.switch_outputs({name: each is colour for each, name in lamp.outputs.items()})
        except DeviceRefused as refusal:
            self._refused[connector_id] = str(refusal)
            return False
        except DeviceFailed:
            return False
        self._refused.pop(connector_id, None)
        self._shown[connector_id] = colour
        return True
