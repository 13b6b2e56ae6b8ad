"""Driver of a plain Modbus RTU input/output module: auxiliary contacts and topper lamps."""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from hardware.drivers.lamp import phase
from hardware.links.serial_bus import Patience, SerialBus
from hardware.protocols.digital_io import FIRST_INPUT, encode_lamp, first_lamp_coil
from station.domain.faults import FaultCode
from station.domain.ports import DeviceFailed, LampColour, LampPattern, Signal, StationInputs

logger = logging.getLogger(__name__)

# No particular module is prescribed; small modules answer at once, and the longest answer takes 20 ms at 9600 baud.
PATIENCE = Patience(timeout_s=0.25, attempts=3)
# A module that lost power has dark lamps: everything is written again after this time.
REFRESH_S = 10.0
# After a failed write the lamp waits this long: its state matters less than a free bus.
_RETRY_S = 1.0
# At a start the port may come a moment later; a module that stays away is a fault of its own by then.
_TELL_AFTER_S = 5.0


@dataclass(frozen=True, kw_only=True)
class InputAssignment:
    """What one input means: a fault of a charging point (0: of the station). `active_low`: the contact opens."""

    input: int
    code: FaultCode
    connector: int = 0
    active_low: bool = False


@dataclass(frozen=True, kw_only=True)
class SignalAssignment:
    """The input of a signal; which position means what is a setting of the station, not of the wiring."""

    input: int
    signal: Signal


class ModbusIo:
    """A StationIo. One task times the blinking of all lamps while the module is open."""

    def __init__(
        self,
        bus: SerialBus,
        *,
        address: int,
        inputs: Sequence[InputAssignment],
        signals: Sequence[SignalAssignment] = (),
    ) -> None:
        self._bus = bus
        self._address = address
        self._inputs = tuple(inputs)
        self._signals = tuple(signals)
        self.signals = frozenset(item.signal for item in signals)
        used = [item.input for item in inputs] + [item.input for item in signals]
        self._input_count = max(used, default=-1) + 1
        self._patterns: dict[int, tuple[LampPattern, float]] = {}
        self._shown: dict[int, LampColour] = {}
        self._changed = asyncio.Event()
        self._lamps: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._bus.acquire()
        self._lamps = asyncio.create_task(self._run_lamps(), name="lamps")

    async def close(self) -> None:
        if self._lamps is not None:
            self._lamps.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._lamps
            self._lamps = None
        self._bus.release()

    async def read(self) -> StationInputs:
        bits: list[bool] = []
        if self._input_count:
            bits = await self._bus.read_discrete(self._address, FIRST_INPUT, self._input_count, PATIENCE)
        faults: dict[int, set[FaultCode]] = {}
        for item in self._inputs:
            if bits[item.input] != item.active_low:
                faults.setdefault(item.connector, set()).add(item.code)
        return StationInputs(
            read_at_s=asyncio.get_running_loop().time(),
            faults={connector_id: frozenset(codes) for connector_id, codes in faults.items()},
            closed={item.signal: bits[item.input] for item in self._signals},
        )

    async def show(self, connector_id: int, pattern: LampPattern) -> None:
        now_s = asyncio.get_running_loop().time()
        shown = self._patterns.get(connector_id)
        if shown is None or shown[0] != pattern:
            self._patterns[connector_id] = (pattern, now_s)
        lit, _ = phase(pattern, now_s - self._patterns[connector_id][1])
        try:
            await self._write(connector_id, pattern.colour if lit else LampColour.OFF)
        finally:
            self._changed.set()

    async def _run_lamps(self) -> None:
        loop = asyncio.get_running_loop()
        refresh_at_s = loop.time() + REFRESH_S
        failing_since_s: float | None = None
        is_told = False
        while True:
            self._changed.clear()
            now_s = loop.time()
            if now_s >= refresh_at_s:
                self._shown.clear()
                refresh_at_s = now_s + REFRESH_S
            wait_s = refresh_at_s - now_s
            try:
                for connector_id, (pattern, since_s) in list(self._patterns.items()):
                    lit, remaining_s = phase(pattern, now_s - since_s)
                    await self._write(connector_id, pattern.colour if lit else LampColour.OFF)
                    wait_s = wait_s if remaining_s is None else min(wait_s, remaining_s)
            except DeviceFailed as error:
                failing_since_s = now_s if failing_since_s is None else failing_since_s
                if not is_told and now_s - failing_since_s >= _TELL_AFTER_S:
                    logger.warning("lamps cannot be switched: %s", error)
                    is_told = True
                wait_s = _RETRY_S
            else:
                failing_since_s, is_told = None, False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait_s, 0.01)):
                    await self._changed.wait()

    async def _write(self, connector_id: int, colour: LampColour) -> None:
        if self._shown.get(connector_id) is colour:
            return
        self._shown.pop(connector_id, None)
        await self._bus.write_coils(self._address, first_lamp_coil(connector_id), encode_lamp(colour), PATIENCE)
        self._shown[connector_id] = colour
