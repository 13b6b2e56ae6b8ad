"""A simulated network that is cut takes the connection with it."""

import asyncio

from ocpp_client.connection.connection import Connection
from ocpp_client.ports import Uplink
from station import clock
from station.concurrency import until_tick_s


class UplinkWatch:
    """Cuts the connection with the simulated network, and connects at once when it is back."""

    def __init__(self, uplink: Uplink, connection: Connection, *, look_s: float) -> None:
        self._uplink = uplink
        self._connection = connection
        self._look_s = look_s

    async def run(self) -> None:
        """Watch for as long as the process lives."""
        was_up = True
        while True:
            await asyncio.sleep(until_tick_s(self._look_s, clock.monotonic_s()))
            is_up = self._uplink.is_up()
            # The connection may have met a cut too short for this loop to see (a simulator that has just started).
            if is_up and (self._connection.awaits_uplink or not was_up):
                self._connection.try_now()
            elif not is_up:
                self._connection.cut()
            was_up = is_up
