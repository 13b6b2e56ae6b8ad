"""The latest snapshot of what moves: parts of it published by the process that knows, read by every page.

Parts: `hardware` (control loop), `backend` (OCPP consumer). A part expires when its process is gone, so an old picture
is never shown as a live one. Subscribers of the channel group `live` get {"type": "live.changed", "part": …}.
"""

import json
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

GROUP = "live"
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


async def publish_async(redis: Any, part: str, data: dict[str, Any], *, announce: bool = True) -> bool:
    """Publish a part from an event loop over the given redis.asyncio client; answers whether Redis took it."""
    try:
        await redis.set(key(part), json.dumps(data, separators=(",", ":")), ex=LIFE_S[part])
        if announce:
            layer = get_channel_layer()
            await layer.group_send(GROUP, {"type": "live.changed", "part": part})
    except (RedisError, OSError):
        return False
    return True


def announce(part: str) -> None:
    """Tell open pages from synchronous code that a part (or a table shown there) has changed."""
    layer = get_channel_layer()
    try:
        async_to_sync(layer.group_send)(GROUP, {"type": "live.changed", "part": part})
    except (RedisError, OSError):
        return
