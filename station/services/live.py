"""The latest snapshots of what moves: each published by the process that knows, read by every page.

Parts: `hardware` (control loop), `backend` (OCPP consumer). A part expires when its process is gone, so an old snapshot
is never shown as a live one. Subscribers of the channel group `live` get {"type": "live.changed", "part": …}.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from channels.layers import get_channel_layer
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimedOut

from station import clock
from station.domain import snapshot
from station.domain.snapshot import BackendSnapshot, HardwareSnapshot

if TYPE_CHECKING:
    from redis import Redis

_Answer = TypeVar("_Answer")

GROUP = "live"
HARDWARE, BACKEND = "hardware", "backend"
LIFE_S = {HARDWARE: 10, BACKEND: 30}
# Held by open pages. Announcing costs Redis and the publisher several commands, several times a second for years, and a
# charging station is hardly ever looked at.
WATCHED = "live:watched"
WATCHED_S = 15
# The channel layer itself waits for ever (its blocking reads need that).
_ANNOUNCED_IN_S = 1.0
_PARTS = {HardwareSnapshot: HARDWARE, BackendSnapshot: BACKEND}


def key(part: str) -> str:
    """Name the Redis key of a part."""
    return f"live:{part}"


def hardware() -> HardwareSnapshot | None:
    """Read the control loop's snapshot for a page; None when its process or Redis is away."""
    return snapshot.decode(HardwareSnapshot, _read(HARDWARE))


def backend() -> BackendSnapshot | None:
    """Read the OCPP process' snapshot for a page; None when its process or Redis is away."""
    return snapshot.decode(BackendSnapshot, _read(BACKEND))


def is_reachable() -> bool:
    """Return whether Redis answers: without it nobody is heard, whoever is alive."""
    return _ask(lambda redis: bool(redis.ping())) or False


def read_list(name: str) -> "list[bytes | str]":
    """Read a list for a page; an empty one when Redis is away."""
    return _ask(lambda redis: redis.lrange(name, 0, -1)) or []


def _read(part: str) -> str | bytes | None:
    return _ask(lambda redis: redis.get(key(part)))


def _ask(question: "Callable[[Redis], _Answer]") -> _Answer | None:
    """Return what Redis answers to a page; None when it is away, hangs, or hung a moment ago."""
    from station.services import redis

    memory = redis.hang_memory()
    if not memory.may_ask(clock.monotonic_s()):
        return None
    try:
        answer = question(redis.client())
    except RedisTimedOut:
        memory.hung(clock.monotonic_s())
        return None
    except (RedisError, OSError):
        answer = None
    memory.answered()
    return answer


async def hardware_async(redis: Any) -> HardwareSnapshot | None:
    """Read the control loop's snapshot from an event loop over the given redis.asyncio client."""
    try:
        return snapshot.decode(HardwareSnapshot, await redis.get(key(HARDWARE)))
    except (RedisError, OSError):
        return None


async def publish_async(redis: Any, published: HardwareSnapshot | BackendSnapshot) -> bool:
    """Publish a part over the given redis.asyncio client and tell open pages; return whether Redis took it."""
    part = _PARTS[type(published)]
    try:
        async with redis.pipeline(transaction=False) as pipe:
            pipe.set(key(part), snapshot.encode(published), ex=LIFE_S[part]).exists(WATCHED)
            _, watched = await pipe.execute()
        if watched:
            async with asyncio.timeout(_ANNOUNCED_IN_S):
                await get_channel_layer().group_send(GROUP, {"type": "live.changed", "part": part})
    except (RedisError, OSError):
        return False
    return True


def watch() -> None:
    """Say that a page is open, so that changes are announced for the next WATCHED_S seconds."""
    # Without Redis nobody can announce anything either; the page looks by itself every few seconds.
    _ask(lambda redis: redis.set(WATCHED, 1, ex=WATCHED_S))
