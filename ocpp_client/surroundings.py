"""The rest of the station over Redis and Celery: commands and bells to the control loop, the live snapshot."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Any

from redis.exceptions import RedisError

from station.domain.commands import Command, Origin, Outcome
from station.services import commands, live, redis


class StationSurroundings:
    """Implements `ports.Surroundings`. Bells go through one thread, so that they ring in the order of the calls."""

    def __init__(self) -> None:
        self._bells = ThreadPoolExecutor(1, thread_name_prefix="bell")
        self._redis: Any = None

    async def submit(self, command: Command, *, actor: str, at: datetime, wait_s: float) -> Outcome:
        """Hand a command of the backend to the control loop."""
        return await commands.submit_command_async(command, origin=Origin.BACKEND, actor=actor, at=at, wait_s=wait_s)

    async def inform(self, kind: str, /, **data: Any) -> bool:
        """Ring the control loop's bell."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._bells, partial(commands.inform, kind, **data))

    async def publish(self, data: dict[str, Any]) -> bool:
        """Publish the live part `backend`."""
        return await live.publish_async(self._client(), live.BACKEND, data)

    async def hardware(self) -> dict[str, Any] | None:
        """Read the live part `hardware`."""
        try:
            text = await self._client().get(live.key(live.HARDWARE))
        except (RedisError, OSError):
            return None
        return json.loads(text) if text else None

    def _client(self) -> Any:
        if self._redis is None:
            self._redis = redis.async_client()
        return self._redis
