"""Commands to a board whose register of the current begins at 6 A: a pause takes the release back."""

from abc import ABC, abstractmethod

from station.domain.units import MINIMUM_CURRENT, PAUSE, MilliAmpere


class PauseByRelease(ABC):
    """Current, release and availability as they were commanded last; None: nothing was commanded yet.

    What takes energy away holds also when its confirmation is lost; what releases it, only with one.
    """

    def __init__(self) -> None:
        self._commands_given = 0
        self._limit: MilliAmpere | None = None
        self._released: bool | None = None
        self._available: bool | None = None

    @abstractmethod
    def _rounded(self, limit: MilliAmpere) -> MilliAmpere:
        """Return what the board takes of a limit that is no pause, never more."""

    @abstractmethod
    async def _write_limit(self, limit: MilliAmpere) -> None:
        """Write the register of the current."""

    @abstractmethod
    async def _switch_release(self, *, on: bool) -> None:
        """Give the release or take it back."""

    @abstractmethod
    async def _switch_available(self, *, on: bool) -> None:
        """Take the board into service or out of it."""

    async def set_current(self, limit: MilliAmpere) -> None:
        rounded = self._rounded(limit) if limit >= MINIMUM_CURRENT else PAUSE
        was_paused = self._limit == PAUSE
        self._commands_given += 1
        if rounded == PAUSE or (self._limit is not None and rounded < self._limit):
            self._limit = rounded
        if rounded == PAUSE:
            await self._switch_release(on=False)
        else:
            await self._write_limit(rounded)
            if was_paused and self._released:
                await self._switch_release(on=True)
        self._limit = rounded

    async def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001 - the port's signature
        self._commands_given += 1
        if not enabled:
            self._released = False
        on = enabled and self._limit != PAUSE
        if on and self._limit is not None:
            # The board may have restarted since the last poll, and its own default is another current.
            await self._write_limit(self._limit)
        await self._switch_release(on=on)
        self._released = enabled

    async def set_available(self, available: bool) -> None:  # noqa: FBT001 - the port's signature
        self._commands_given += 1
        if not available:
            self._available = False
        await self._switch_available(on=available)
        self._available = available
