"""Driver of topper lamps at GPIO lines of the computer, one line per coloured element, over the kernel's GPIO chips."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hardware.drivers.lamp import Blinker
from station.domain.ports import DeviceRefused, LampColour, LampPattern

CONSUMER = "station lamps"


@dataclass(frozen=True, kw_only=True)
class LampLines:
    """The lines of one charging point's lamp; a colour without a line stays dark."""

    connector: int
    lines: Mapping[LampColour, int]


class Outputs(Protocol):
    """GPIO lines that were taken as outputs."""

    def switch(self, lit: Mapping[int, bool]) -> None:
        """Switch lines; OSError when the chip is gone."""

    def release(self) -> None:
        """Give the lines back."""


class _GpiodOutputs:
    """Lines taken with libgpiod's Python package, which only a station with such lamps loads."""

    def __init__(self, chip: str, lines: Sequence[int], *, active_low: bool) -> None:
        gpiod: Any = importlib.import_module("gpiod")
        self._values: Any = gpiod.line.Value
        settings = gpiod.LineSettings(direction=gpiod.line.Direction.OUTPUT, active_low=active_low)
        self._request: Any = gpiod.request_lines(chip, config={tuple(lines): settings}, consumer=CONSUMER)

    def switch(self, lit: Mapping[int, bool]) -> None:
        values = self._values
        self._request.set_values({line: values.ACTIVE if on else values.INACTIVE for line, on in lit.items()})

    def release(self) -> None:
        self._request.release()


class GpioLamps:
    """The lamps of a station; they blink while they are open."""

    def __init__(
        self,
        chip: str,
        lamps: Sequence[LampLines],
        *,
        active_low: bool = False,
        take: Callable[..., Outputs] = _GpiodOutputs,
    ) -> None:
        self._chip = chip
        self._lamps = {lamp.connector: lamp.lines for lamp in lamps}
        self._active_low = active_low
        self._take = take
        self._outputs: Outputs | None = None
        self._blinker = Blinker(self._switch)
        self._problem = ""

    @property
    def problem(self) -> str:
        """Why the lines cannot be switched now."""
        return self._problem

    async def open(self) -> None:
        """Take the lines; DeviceRefused says what is missing."""
        lines = sorted({line for lines in self._lamps.values() for line in lines.values()})
        try:
            self._outputs = self._take(self._chip, lines, active_low=self._active_low)
        except ImportError as error:
            raise DeviceRefused("lamps at GPIO lines need the Python package gpiod, which is not installed") from error
        except FileNotFoundError as error:
            raise DeviceRefused(f"there is no GPIO chip {self._chip}; `gpiodetect` lists those there are") from error
        except (OSError, ValueError) as error:
            raise DeviceRefused(f"the lines {lines} of {self._chip} cannot be taken: {error}") from error
        self._blinker.start()

    async def close(self) -> None:
        await self._blinker.stop()
        if self._outputs is not None:
            self._outputs.release()
            self._outputs = None

    async def show(self, connector_id: int, pattern: LampPattern) -> None:
        """Show a pattern; a charging point without a lamp has none to show."""
        if connector_id not in self._lamps:
            return
        if self._outputs is None:
            raise DeviceRefused(f"the lines of {self._chip} are not taken")
        self._blinker.show(connector_id, pattern)

    async def _switch(self, connector_id: int, colour: LampColour) -> float | None:
        if self._outputs is not None:
            lines = self._lamps[connector_id]
            try:
                self._outputs.switch({line: each is colour for each, line in lines.items()})
            except OSError as error:
                self._problem = f"the lines of {self._chip} cannot be switched: {error.strerror or error}"
            else:
                self._problem = ""
        return None
