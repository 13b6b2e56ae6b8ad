"""When a lamp pattern is lit, and the input module whose lamps are wired elsewhere."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from station.domain.ports import DeviceFailed, DeviceRefused, LampColour, LampPattern, Signal, StationInputs, StationIo

logger = logging.getLogger(__name__)

# At 0.5 s on and off blinks can be counted, up to seven; the pause marks the start of a group. Our own choice.
ON_S = 0.5
OFF_S = 0.5
PAUSE_S = 2.0
# Switching takes a moment itself: what is due by then must not keep the loop busy.
_SHORTEST_WAIT_S = 0.01


def phase(pattern: LampPattern, elapsed_s: float) -> tuple[bool, float | None]:
    """Return whether the pattern is lit after this time and how long that lasts; None: for ever."""
    if not pattern.blinks:
        return True, None
    blink_s = ON_S + OFF_S
    within_s = elapsed_s % (pattern.blinks * blink_s + PAUSE_S)
    blink, within_blink_s = divmod(within_s, blink_s)
    if blink >= pattern.blinks:
        return False, pattern.blinks * blink_s + PAUSE_S - within_s
    if within_blink_s < ON_S:
        return True, ON_S - within_blink_s
    # The last dark half runs into the pause.
    rest_s = blink_s - within_blink_s
    return False, rest_s + PAUSE_S if blink + 1 == pattern.blinks else rest_s


class Blinker:
    """Times the patterns of lamps, in one task while it runs.

    `light` switches a lamp to a colour and returns after how many seconds at most it has to be called again; None: not
    before the colour changes.
    """

    def __init__(self, light: Callable[[int, LampColour], Awaitable[float | None]]) -> None:
        self._light = light
        self._patterns: dict[int, tuple[LampPattern, float]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to show what is to be shown."""
        self._task = asyncio.create_task(self._run(), name="lamps")

    async def stop(self) -> None:
        """Leave the lamps as they are."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def show(self, connector_id: int, pattern: LampPattern) -> None:
        """Show a pattern from now on."""
        self._patterns[connector_id] = (pattern, asyncio.get_running_loop().time())
        self._changed.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            waits_s: list[float] = []
            for connector_id, (pattern, since_s) in list(self._patterns.items()):
                lit, remaining_s = phase(pattern, loop.time() - since_s)
                again_s = await self._light(connector_id, pattern.colour if lit else LampColour.OFF)
                waits_s += [each for each in (remaining_s, again_s) if each is not None]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(min(waits_s), _SHORTEST_WAIT_S) if waits_s else None):
                    await self._changed.wait()


class StationLamps(Protocol):
    """The lamps of a station that are not wired to its input module. `problem`: why they cannot be switched now."""

    @property
    def problem(self) -> str: ...
    async def open(self) -> None: ...
    async def close(self) -> None: ...
    async def show(self, connector_id: int, pattern: LampPattern) -> None: ...


class IoWithLamps:
    """A StationIo whose contacts are those of an input module, if there is one, and whose lamps are wired elsewhere."""

    def __init__(self, module: StationIo | None, lamps: StationLamps) -> None:
        self._module = module
        self._lamps = lamps
        self._not_opened = ""

    @property
    def signals(self) -> frozenset[Signal]:
        """Return the signals of the module."""
        return frozenset() if self._module is None else self._module.signals

    async def open(self) -> None:
        """Open the lamps and the module; lamps that cannot be opened are told with each reading."""
        try:
            await self._lamps.open()
        except DeviceRefused as refusal:
            self._not_opened = str(refusal)
            logger.warning("lamps: %s", refusal)
        if self._module is not None:
            await self._module.open()

    async def close(self) -> None:
        await self._lamps.close()
        if self._module is not None:
            await self._module.close()

    async def read(self) -> StationInputs:
        problem = self._not_opened or self._lamps.problem
        if self._module is None:
            return StationInputs(read_at_s=asyncio.get_running_loop().time(), lamp_problem=problem)
        return replace(await self._module.read(), lamp_problem=problem)

    async def show(self, connector_id: int, pattern: LampPattern) -> None:
        if self._not_opened:
            raise DeviceFailed(self._not_opened)
        await self._lamps.show(connector_id, pattern)
