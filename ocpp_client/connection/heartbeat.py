"""Heartbeat: sign of life and, where TimeSource says so, the time (OCPP 1.6 section 4.6)."""

import asyncio

from ocpp.v16 import call

from ocpp_client.connection.registration_runner import take_time
from ocpp_client.connection.state import ConnectionState
from ocpp_client.database import in_database
from ocpp_client.ports import ClockPort
from ocpp_client.rpc.calls import Calls, NotDelivered
from station import clock
from station.concurrency import wait_or_timeout
from station.services import configuration


class Heartbeat:
    """Sends a heartbeat every HeartbeatInterval seconds while the station is registered and connected."""

    def __init__(self, *, calls: Calls, state: ConnectionState, clock_port: ClockPort) -> None:
        self._calls = calls
        self._state = state
        self._clock_port = clock_port
        self._restart = asyncio.Event()

    def restart(self) -> None:
        """Count anew: the interval may have changed."""
        self._restart.set()

    async def run(self) -> None:
        """Beat for as long as the process lives."""
        while True:
            await self._state.flow.wait()
            self._restart.clear()
            interval_s = await in_database(configuration.get_int, "HeartbeatInterval")
            self._state.interval_s = interval_s
            if not await wait_or_timeout(self._restart, interval_s or None) and self._state.flow.is_set():
                await self.send()

    async def send(self) -> None:
        """Send one heartbeat and take the time from its answer."""
        try:
            answer = await self._calls.call(call.Heartbeat())
        except NotDelivered:
            return
        self._state.answered_at = clock.now()
        await take_time(self._clock_port, answer["currentTime"])
