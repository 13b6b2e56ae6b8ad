"""When a lamp pattern is lit, and the input module whose lamps are wired elsewhere."""

import asyncio
import logging
from dataclasses import replace
from typing import Protocol

from station.domain.ports import DeviceFailed, DeviceRefused, LampPattern, Signal, StationInputs, StationIo

logger = logging.getLogger(__name__)

# At 0.5 s on and off blinks can be counted, up to seven; the pause marks the start of a group. Our own choice.
ON_S = 0.5
OFF_S = 0.5
PAUSE_S = 2.0


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
