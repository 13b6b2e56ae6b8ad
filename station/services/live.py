"""The latest snapshot of what moves: parts of it published by the process that knows, read by every page.

Parts: `hardware` (control loop), `backend` (OCPP consumer). A part expires when its process is gone, so an old snapshot
is never shown as a live one. Subscribers of the channel group `live` get {"type": "live.changed", "part": …}.
"""

import asyncio
import json
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

GROUP = "live"
# Held by open pages. Announcing costs Redis and the publisher several commands, several times a second for years, and a
# charging station is hardly ever looked at.
WATCHED = "live:watched"
WATCHED_S = 15
# The channel layer itself waits for ever (its blocking reads need that).
_ANNOUNCED_IN_S = 1.0
HARDWARE, BACKEND = "hardware", "backend"
LIFE_S = {HARDWARE: 10, BACKEND: 30}


def key(part: str) -> str:
    """Name the Redis key of a part."""
    return f"live:{part}"


def read(part: str) -> dict[str, Any] | None:
    """Read a part for a page; None when its process or Redis is away."""
    from station.services import redis

    try:
        text = redis.client().get(key(part))
    except (RedisError, OSError):
        return None
    return json.loads(text) if text else None


async def publish_async(redis: Any, part: str, data: dict[str, Any]) -> bool:
    """Publish a part over the given redis.asyncio client and tell open pages; return whether Redis took it."""
    try:
        async with redis.pipeline(transaction=False) as pipe:
            pipe.set(key(part), json.dumps(data, separators=(",", ":")), ex=LIFE_S[part]).exists(WATCHED)
            _, watched = await pipe.execute()
        if watched:
            await _announce(part)
    except (RedisError, OSError):
        return False
    return True


def watch() -> None:
    """Say that a page is open, so that changes are announced for the next WATCHED_S seconds."""
    from station.services import redis

    try:
        redis.client().set(WATCHED, 1, ex=WATCHED_S)
    except (RedisError, OSError):
        # Then nobody can announce anything either; the page looks by itself every few seconds.
        return


def announce(part: str) -> None:
    """Tell open pages from synchronous code that a part (or a table shown there) has changed."""
    try:
        async_to_sync(_announce)(part)
    except (RedisError, OSError):
        return


async def _announce(part: str) -> None:
    async with asyncio.timeout(_ANNOUNCED_IN_S):
        await get_channel_layer().group_send(GROUP, {"type": "live.changed", "part": part})
