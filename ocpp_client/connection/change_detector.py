"""Looking for changes: what no message has told, and whether the simulated network is cut."""

import asyncio
from typing import TYPE_CHECKING

from ocpp_client import database
from ocpp_client.connection import endpoint
from ocpp_client.database import in_database
from station import clock
from station.services import configuration

if TYPE_CHECKING:
    from ocpp_client.link import BackendLink

# So many looks at the number of commits go between two looks at the tables.
_LOOKS_BETWEEN = 3


class ChangeDetector:
    """Finds what somebody else has committed: messages come over Redis, which may be away."""

    def __init__(self, link: "BackendLink") -> None:
        self._link = link

    async def run(self) -> None:
        """Look at settings, outbox and statuses for as long as the process lives."""
        link = self._link
        watch, seen = await in_database(configuration.ConfigurationWatch), await in_database(database.version)
        next_look_s, is_due = clock.monotonic_s(), False
        while True:
            await asyncio.sleep(link.timing.look_s)
            before, seen = seen, await in_database(database.version)
            is_new = seen is None or seen != before
            if is_new and link.state.flow.is_set():
                # Samples are sent by this look alone.
                link.outbox.wake()
            unsure = link.status.needs_second_look or link.meter_keys.needs_second_look
            is_due |= is_new or unsure
            # While a car charges nearly every commit is a sample; the other tables are not read for each of them.
            if not is_due or clock.monotonic_s() < next_look_s:
                continue
            next_look_s, is_due = clock.monotonic_s() + _LOOKS_BETWEEN * link.timing.look_s, False
            if await in_database(watch.changes):
                link.restart_timers()
                if await in_database(endpoint.configured) != link.state.endpoint:
                    link.reconnect()
            if link.state.flow.is_set():
                await link.status.check_table()
                if await link.meter_keys.have_changed():
                    link.spawn(link.meter_keys.tell(anew=True))

    async def watch_uplink(self) -> None:
        """Cut the connection with the simulated network, and connect at once when it is back."""
        link, was_up = self._link, True
        while True:
            await asyncio.sleep(link.timing.uplink_look_s)
            is_up = link.environment.uplink.is_up()
            # The link may have met a cut too short for this loop to see (a simulator that has just started).
            if is_up and (link.awaits_uplink or not was_up):
                link.try_now()
            elif not is_up:
                link.cut()
            was_up = is_up
