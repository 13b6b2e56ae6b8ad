"""What a charging point's controller is to do, kept as a target and repeated until the board shows it."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from station import clock
from station.domain.faults import FaultCode
from station.domain.ports import ControllerStatus, DeviceFailed, EvseController, Watchdog
from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere

logger = logging.getLogger(__name__)

# IEC 61851-1: no energy before the plug is locked. Boards report the commanded lock at once and a jammed bolt only
# when its motor has run, which takes 150 ms in the simulator and less than that with common lock drives.
LOCK_MOVES_S = 0.16
# A board that has lost a confirmed current without a trace is told again after this time.
CURRENT_REPEATED_S = 10.0
_DISABLE_AGAIN_S = 0.1


@dataclass(frozen=True, kw_only=True)
class HeldLimit:
    """The limit a board holds, and since when it holds no more than that (monotonic seconds)."""

    limit: MilliAmpere
    since_s: float


class Actuator:
    """Turns targets into driver calls.

    A target is tried at once; when the board does not answer it stays and is tried again with every poll, so a
    lost command cannot leave energy released.
    """

    def __init__(self, controller: EvseController, *, has_lock: bool) -> None:
        self._controller = controller
        self._has_lock = has_lock and controller.capabilities.lock
        self.limit = PAUSE
        self.enabled = False
        self.locked = False
        self.available = True
        self._commanded_limit: MilliAmpere | None = None
        self._commanded_at_s = -math.inf
        self._lock_moves_until_s = 0.0
        self._confirmed_available: bool | None = None
        # What the board may hold at most: a command that failed may have been carried out or not.
        self._board_is_known = False
        self._board_limit = PAUSE
        self._board_released = False
        self._lowered_at_s = 0.0
        self._currents_under_way: list[MilliAmpere] = []
        self._releases_under_way = 0
        # One order at a time: many are several requests on the bus, and a withdrawal that comes between those of a
        # release would be undone by the rest of it.
        self._orders = asyncio.Lock()
        # Nobody will be in control any more; nothing may release energy again.
        self._is_final = False
        # A poll that was under way while a target changed shows the old state; it must not be taken for disobedience.
        self.changed_at_s = 0.0

    @property
    def has_lock(self) -> bool:
        """Whether this point can lock a plug at all."""
        return self._has_lock

    @property
    def watchdog(self) -> Watchdog | None:
        """What the board does by itself when nobody talks to it any more."""
        return self._controller.capabilities.watchdog

    @property
    def held(self) -> HeldLimit | None:
        """The most the board may hold, commands under way included; None while nothing is known of it."""
        if not self._board_is_known:
            return None
        return HeldLimit(limit=self._board_draw, since_s=self._lowered_at_s)

    @property
    def _board_draw(self) -> MilliAmpere:
        return self._board_limit if self._board_released else PAUSE

    def learn(self, status: ControllerStatus) -> None:
        """Take over the state of a board of which nothing is known yet; afterwards commands determine it."""
        # A board that has released energy and signals nothing yet does not say what it will signal.
        says_it = not status.enabled or status.offered >= MINIMUM_CURRENT
        if not self._board_is_known and says_it:
            self._board_is_known = True
            self._board_released, self._board_limit = status.enabled, status.offered
            self._lowered_at_s = status.read_at_s

    def adopt(self, status: ControllerStatus) -> None:
        """Take the board over as a restart of the software has left it."""
        self.learn(status)
        self.enabled = status.enabled
        if status.enabled and status.offered >= MINIMUM_CURRENT:
            # Until limits are computed anew the car goes on with what it was offered.
            self.limit = self._commanded_limit = status.offered

    def believe_released(self) -> None:
        """Take it that a board that has not answered yet delivers: a withdrawal is repeated until it is confirmed."""
        self._board_released = True

    async def set_limit(self, limit: MilliAmpere) -> None:
        """Signal a current to the car; below 6 A nothing is signalled, the caller withdraws energy instead."""
        self.limit = limit
        if self.enabled and limit >= MINIMUM_CURRENT and not self._was_just_told(limit):
            await self._try_current()

    def _was_just_told(self, limit: MilliAmpere) -> bool:
        """Return whether the board has confirmed just this current a moment ago, and nothing else is known of it.

        A board that offers more is corrected with the poll that shows it; one that offers less, with the repetition.
        """
        return (
            limit == self._commanded_limit == self._board_limit
            and not self._currents_under_way
            and clock.monotonic_s() - self._commanded_at_s < CURRENT_REPEATED_S
        )

    async def enable(self) -> None:
        """Release energy with the present limit, once the bolt of the lock has had the time to move."""
        if self._is_final:
            return
        self.enabled = True
        self._touch()
        self._releases_under_way += 1
        try:
            await self._release()
        finally:
            self._releases_under_way -= 1

    async def _release(self) -> None:
        # The current alone releases nothing, so it is written while the bolt moves.
        if not await self._try_current():
            return
        await asyncio.sleep(max(self._lock_moves_until_s - clock.monotonic_s(), 0.0))
        if self._has_lock and not (self.locked and await self._bolt_is_in()):
            return
        if self.enabled and self._commanded_limit != self.limit and not await self._try_current():
            return
        # Energy may have been withdrawn while the board was asked or told.
        if self.enabled:
            self._board_released = True
            await self._try(self._controller.set_enabled, True)

    async def disable(self) -> bool:
        """Withdraw energy; return whether the board has confirmed it."""
        self.enabled = False
        return await self._withdraw()

    async def _withdraw(self) -> bool:
        self._touch()
        taken = await self._try(self._controller.set_enabled, False)
        if taken:
            self._board_obeys(released=False)
        return taken

    async def repeat_unread(self) -> None:
        """Repeat a withdrawal at a board that cannot be read: it may hear what it cannot answer."""
        if self._board_released and not self.enabled:
            with contextlib.suppress(DeviceFailed):
                async with self._orders:
                    await self._controller.set_enabled(False)
                self._board_obeys(released=False)

    async def disable_for_good(self, *, until_s: float) -> bool:
        """Withdraw energy because nobody will be in control any more; return whether the board has confirmed it.

        Tried again until a moment of the steady clock: without a watchdog a board keeps what it was told last.
        """
        self._is_final = True
        # The end may come before anybody has opened the port.
        await self._try(self._controller.open)
        while True:
            taken = await self.disable()
            if taken or clock.monotonic_s() >= until_s:
                return taken
            await asyncio.sleep(_DISABLE_AGAIN_S)

    async def lock(self) -> None:
        """Lock the plug."""
        if self._has_lock:
            self.locked = True
            self._touch()
            await self._try(self._controller.lock)
            self._lock_moves_until_s = clock.monotonic_s() + LOCK_MOVES_S

    async def unlock(self) -> None:
        """Release the plug."""
        if self._has_lock:
            self.locked = False
            self._touch()
            await self._try(self._controller.unlock)

    async def set_available(self, available: bool) -> None:  # noqa: FBT001 - the target is the value
        """Show the car a point in or out of service (pilot state F)."""
        self.available = available
        if self._confirmed_available != available and await self._try(self._controller.set_available, available):
            self._confirmed_available = available

    async def reconcile(self, status: ControllerStatus, *, current_flows: bool) -> None:
        """Repeat what the board does not show. No energy without the lock, and no open lock under current."""
        if status.read_at_s <= self.changed_at_s:
            return
        self.learn(status)
        self._compare(status)
        moves_bolt = self._has_lock and status.locked is not None and status.locked != self.locked
        if status.enabled and (not self.enabled or (moves_bolt and self.locked)):
            await self._withdraw()
        if moves_bolt and FaultCode.CONNECTOR_LOCK_FAILURE not in status.faults:
            if self.locked:
                await self.lock()
            elif not (status.enabled or status.contactor_closed or current_flows):
                await self.unlock()
        if self.enabled and (not status.enabled or (moves_bolt and self.locked)):
            # A board that still shows none while the bolt moves is not disobedient; what fails, a later poll repeats.
            if not self._releases_under_way:
                await self.enable()
        elif self.enabled and (self._commanded_limit != self.limit or status.offered > self.limit):
            await self._try_current()
        if self._confirmed_available != self.available:
            await self.set_available(self.available)

    def _compare(self, status: ControllerStatus) -> None:
        """Take what the board shows to hold: more than was told counts, as an older answer may have come late."""
        if self._board_released and not status.enabled:
            self._board_obeys(released=False)
        elif status.enabled:
            self._board_released = True
        if status.enabled and status.offered > self._board_limit:
            self._board_limit = status.offered

    async def _bolt_is_in(self) -> bool:
        """Ask the board whether the lock has failed; a jam it has noticed must not be overtaken by the energy."""
        try:
            status = await self._controller.read_status()
        except DeviceFailed as error:
            logger.info("the lock could not be asked: %s", error)
            return False
        return status.locked is not False and FaultCode.CONNECTOR_LOCK_FAILURE not in status.faults

    async def _try_current(self) -> bool:
        wanted = self.limit
        self._board_limit = max(self._board_limit, wanted)
        self._currents_under_way.append(wanted)
        try:
            taken = await self._try(self._controller.set_current, wanted)
        finally:
            self._currents_under_way.remove(wanted)
        if not taken:
            self._commanded_limit = None
            return False
        self._commanded_limit, self._commanded_at_s = wanted, clock.monotonic_s()
        self._board_obeys(limit=max([wanted, *self._currents_under_way]))
        return True

    def _board_obeys(self, *, limit: MilliAmpere | None = None, released: bool | None = None) -> None:
        draw = self._board_draw if self._board_is_known else None
        self._board_limit = self._board_limit if limit is None else limit
        if released is not None:
            self._board_released = released
        elif draw is None:
            # A current alone does not say whether energy is released.
            self._board_released = True
        self._board_is_known = True
        if draw is None or self._board_draw < draw:
            self._lowered_at_s = clock.monotonic_s()

    async def _try(self, order: Callable[..., Awaitable[None]], *args: object) -> bool:
        try:
            async with self._orders:
                await order(*args)
        except DeviceFailed as error:
            logger.info("the controller did not take a command: %s", error)
            return False
        finally:
            self._touch()
        return True

    def _touch(self) -> None:
        self.changed_at_s = clock.monotonic_s()
