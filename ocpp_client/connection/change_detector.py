"""Looking for changes that no message has told."""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Protocol

from ocpp_client import database
from ocpp_client.connection import endpoint
from ocpp_client.connection.control import ConnectionControl
from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.rpc.calls import NotDelivered
from station import clock
from station.concurrency import BackgroundTasks, until_tick_s
from station.services import configuration

logger = logging.getLogger(__name__)


class Outbox(Protocol):
    """The messages about transactions."""

    def wake(self) -> None: ...


class Statuses(Protocol):
    """The statuses of the connectors."""

    @property
    def needs_second_look(self) -> bool: ...

    def check_table(self) -> Awaitable[None]:
        """Catch up with changes whose message was lost."""


class MeterKeys(Protocol):
    """The public keys of the meters."""

    @property
    def needs_second_look(self) -> bool: ...

    def have_changed(self) -> Awaitable[bool]:
        """Find a meter whose key has not been told."""

    def tell(self, *, anew: bool) -> Awaitable[None]:
        """Tell the keys."""


# So many looks at the number of commits go between two looks at the tables.
_LOOKS_BETWEEN = 3
# The control loop reads its meters at whole seconds; a look shortly afterwards finds what came of it. In step with the
# other periods of this process, see `until_tick_s`.
_AFTER_TICK = 0.25


class ChangeDetector:
    """Finds what somebody else has committed: messages come over Redis, which may be away."""

    def __init__(
        self,
        state: ConnectionState,
        connection: ConnectionControl,
        *,
        outbox: Outbox,
        statuses: Statuses,
        meter_keys: MeterKeys,
        look_s: float,
    ) -> None:
        self._state = state
        self._connection = connection
        self._outbox = outbox
        self._statuses = statuses
        self._meter_keys = meter_keys
        self._look_s = look_s
        self._tasks = BackgroundTasks(logger, expected=(NotDelivered,))
        # Outlives a failure of `run`, which a busy database may be.
        self._watch: configuration.ConfigurationWatch | None = None
        # Settings that could not be applied yet; what changed before the first look is no news to the watch.
        self._has_news = True

    async def run(self) -> None:
        """Look at settings, outbox and statuses for as long as the process lives."""
        seen = None
        next_look_s, is_due = clock.monotonic_s(), True
        while True:
            await asyncio.sleep(until_tick_s(self._look_s, clock.monotonic_s() - _AFTER_TICK * self._look_s))
            before, seen = seen, await in_database(database.version)
            is_new = seen is None or seen != before
            if is_new and self._state.flow.is_set():
                # Samples are sent by this look alone.
                self._outbox.wake()
            unsure = self._statuses.needs_second_look or self._meter_keys.needs_second_look
            is_due |= is_new or unsure
            # While a car charges nearly every commit is a sample; the other tables are not read for each of them.
            if not is_due or clock.monotonic_s() < next_look_s:
                continue
            next_look_s, is_due = clock.monotonic_s() + (_LOOKS_BETWEEN - 0.5) * self._look_s, False
            await self._apply_settings()
            if self._state.flow.is_set():
                await self._statuses.check_table()
                if await self._meter_keys.have_changed():
                    self._tasks.spawn(self._tell_keys())

    async def _apply_settings(self) -> None:
        if self._watch is None:
            self._watch = await in_database(configuration.ConfigurationWatch)
        self._has_news |= await in_database(self._watch.has_news)
        if not self._has_news:
            return
        wanted = await in_database(endpoint.configured)
        self._has_news = False
        self._connection.restart_timers()
        if wanted != self._state.endpoint:
            self._connection.reconnect()

    async def close(self) -> None:
        """End what is still under way."""
        await self._tasks.close()

    async def _tell_keys(self) -> None:
        await self._meter_keys.tell(anew=True)
