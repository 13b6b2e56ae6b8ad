"""The rest of the station over Redis and Celery: commands and messages to the control loop, live snapshots."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any

from station.domain.commands import Command, Origin, Outcome
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot
from station.services import commands, live, redis
from station.services.messages import SEND_TIMEOUT_S, MessageToControlLoop, send_to_control_loop


class RemoteControlLoop:
    """Implements `ports.ControlLoop`. Messages go through one thread, so that they keep the order of the calls."""

    def __init__(self) -> None:
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="messages")

    async def submit(self, command: Command, *, actor: str, at: datetime, wait_s: float) -> Outcome:
        """Hand a command of the backend to the control loop."""
        return await commands.submit_command_async(command, origin=Origin.BACKEND, actor=actor, at=at, wait_s=wait_s)

    async def inform(self, message: MessageToControlLoop) -> None:
        """Send the control loop a message; a Redis that hangs holds up the thread, not the caller."""
        loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await loop.run_in_executor(self._sender, send_to_control_loop, message)


class RedisSnapshots:
    """Implements `ports.LiveSnapshots`."""

    def __init__(self) -> None:
        self._redis: Any = None

    async def publish(self, snapshot: BackendSnapshot) -> bool:
        """Publish the live part `backend`."""
        return await live.publish_async(self._client(), snapshot)

    async def hardware(self) -> HardwareSnapshot | None:
        """Read the live part `hardware`."""
        return await live.hardware_async(self._client())

    def _client(self) -> Any:
        if self._redis is None:
            self._redis = redis.async_client()
        return self._redis
