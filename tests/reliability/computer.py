"""Redis, the channel layer and the computer of a simulated station, in virtual time."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from tests.fakes import FakeComputer, FakeRedis


@dataclass
class LiveRedis(FakeRedis):
    """Redis whose values expire, and which may hang without being gone."""

    hung: bool = False
    _expires_s: dict[str, float] = field(default_factory=dict)

    async def reached(self) -> None:
        """Wait for as long as the server hangs."""
        # A stopped server keeps every connection open and answers nothing.
        while self.hung:
            await asyncio.sleep(0.25)

    async def get(self, key: str) -> str | None:
        await self.reached()
        if self._expires_s.get(key, float("inf")) <= asyncio.get_running_loop().time():
            self.values.pop(key, None)
        return await super().get(key)

    async def set(self, key: str, value: str, *, ex: int | None = None) -> None:
        await self.reached()
        await super().set(key, value, ex=ex)
        self._expires_s[key] = asyncio.get_running_loop().time() + (ex or float("inf"))

    async def info(self, section: str) -> dict[str, int]:
        await self.reached()
        return await super().info(section)

    async def rpush(self, key: str, value: str) -> None:
        await self.reached()
        await super().rpush(key, value)

    async def expire(self, key: str, seconds: int) -> None:
        await self.reached()
        await super().expire(key, seconds)


@dataclass
class Layer:
    """The channel layer: it lives in the same Redis."""

    redis: LiveRedis
    heard: Callable[[dict[str, Any]], None]

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self.redis.reached()
        if self.redis.down:
            raise RedisConnectionError
        self.heard(message)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await self.redis.reached()
        if self.redis.down:
            raise RedisConnectionError


@dataclass
class Computer(FakeComputer):
    """The computer; whoever asks for a restart gets one."""

    restarted: Callable[[str], None] = lambda _what: None
    set_to: Callable[[datetime], bool] = lambda _at: False

    def set_from_backend(self, at: datetime) -> bool:
        return self.set_to(at)

    def _restart(self, what: str) -> None:
        super()._restart(what)
        self.restarted(what)
