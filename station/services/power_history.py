"""The last hour's samples of what was drawn: a short list in Redis, which the control loop fills and a page draws.

Of freshness only, like the live snapshot: without Redis the plot has a gap, and a restart of the computer empties it.
"""

from typing import Any

from redis.exceptions import RedisError

from station.domain import snapshot
from station.domain.power_history import MOST_SAMPLES, SAMPLE_EVERY_S, PowerSample
from station.services import live

KEY = "live:power_history"
_LIFE_S = MOST_SAMPLES * SAMPLE_EVERY_S


async def append_async(redis: Any, sample: PowerSample) -> bool:
    """Add a sample over the given redis.asyncio client and drop the oldest; return whether Redis took it."""
    try:
        async with redis.pipeline(transaction=False) as pipe:
            pipe.rpush(KEY, snapshot.encode(sample)).ltrim(KEY, -MOST_SAMPLES, -1).expire(KEY, _LIFE_S)
            await pipe.execute()
    except (RedisError, OSError):
        return False
    return True


def samples() -> tuple[PowerSample, ...]:
    """Return the samples, the oldest first; none while Redis is away."""
    found = (snapshot.decode(PowerSample, text) for text in live.read_list(KEY))
    return tuple(sample for sample in found if sample is not None)
