"""A charging point in safe mode: its energy is kept off, and its plug is let go when no current flows any more."""

import logging
from dataclasses import dataclass

from hardware.runtime.actuator import Actuator
from hardware.runtime.point_meter import METER_ANSWERS_S
from hardware.runtime.session_end import CURRENT_ENDS_S, NO_CURRENT, flows
from station import clock
from station.domain.ports import DeviceFailed, EvseController, Meter, ReadingUnusable
from station.domain.supervision import highest_current
from station.domain.units import WattHour

logger = logging.getLogger(__name__)


@dataclass(kw_only=True)
class KeptOff:
    """Keeps the energy of one charging point off.

    The driver gets the cable back: nobody knows how long safe mode lasts. A session in the books goes on or ends with
    the next control loop, which locks the plug again where a car is still connected.
    """

    number: int
    controller: EvseController
    meter: Meter | None
    has_lock: bool
    # Whether the board has confirmed that energy is off; None: it was not asked yet.
    confirmed: bool | None = None

    def __post_init__(self) -> None:
        self.actuator = Actuator(self.controller, has_lock=self.has_lock)
        self.served_at_s = clock.monotonic_s()
        self._off_since_s: float | None = None
        self._register_before: WattHour | None = None
        self._meter_is_open = False
        self._is_let_go = False

    async def step(self) -> None:
        """Tell the board once more, and log when its answer is another one; let the plug go when nothing flows."""
        self.served_at_s = clock.monotonic_s()
        confirmed = await self.actuator.disable_for_good(until_s=self.served_at_s)
        if confirmed != self.confirmed:
            self.confirmed = confirmed
            logger.warning("point %d: energy is %s", self.number, "off" if confirmed else "not confirmed to be off")
        if not confirmed:
            self._off_since_s = None
        elif self._off_since_s is None:
            self._off_since_s = clock.monotonic_s()
        if self.actuator.has_lock and confirmed and await self._current_has_ended(self._off_since_s or 0.0):
            await self._let_go()

    async def _let_go(self) -> None:
        if not self._is_let_go:
            self._is_let_go = True
            logger.warning("point %d: no current flows, the plug is let go", self.number)
        await self.actuator.unlock()

    async def _current_has_ended(self, off_since_s: float) -> bool:
        """Return whether the plug is to be let go now: it is locked, the board is off, and the meter shows no current.

        A meter that does not answer is waited for, as at the end of a session.
        """
        try:
            status = await self.controller.read_status()
        except DeviceFailed:
            return False
        off_for_s = clock.monotonic_s() - off_since_s
        if status.locked is False or (status.locked is None and self._is_let_go):
            return False
        if status.enabled or (status.contactor_closed and off_for_s < CURRENT_ENDS_S):
            return False
        shows_current = await self._meter_shows_current()
        return off_for_s >= METER_ANSWERS_S if shows_current is None else not shows_current

    async def _meter_shows_current(self) -> bool | None:
        """Return whether the meter shows current; None: there is nobody to ask."""
        if self.meter is None:
            return None
        try:
            if not self._meter_is_open:
                await self.meter.open()
                self._meter_is_open = True
            reading = await self.meter.read()
        except ReadingUnusable as error:
            measured = any(current is not None for current in error.phases.currents)
            return highest_current(error.phases) > NO_CURRENT if measured else None
        except DeviceFailed:
            return None
        before, self._register_before = self._register_before, reading.import_energy
        return flows(reading, before)
