"""Connections to the station's private Redis. Losing it costs freshness, never a record."""

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

_CONNECT_TIMEOUT_S = 1.0
# A Redis that hangs is treated as absent: callers do without it, and nobody waits for ever.
_ANSWER_TIMEOUT_S = 1.5
# A blocking command has to give up well before the time-out of its connection.
LONGEST_BLOCK_S = 1.0
# A pooled connection may have died with an earlier Redis; a fresh one finds the new one.
_ONE_MORE = 1


@cache
def client() -> "Redis":
    """Return this process's connection pool for synchronous code."""
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as RedisIsAway
    from redis.retry import Retry

    return Redis(
        unix_socket_path=settings.REDIS_SOCKET,
        decode_responses=True,
        socket_timeout=_ANSWER_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        # redis-py tries again for seconds by default; here somebody waits who can do without Redis. One that has not
        # answered in time is not asked a second time.
        retry=Retry(NoBackoff(), _ONE_MORE, supported_errors=(RedisIsAway,)),
    )


def async_client() -> "AsyncRedis":
    """Make a connection pool for the running event loop; its owner closes it."""
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as RedisIsAway

    return AsyncRedis(
        unix_socket_path=settings.REDIS_SOCKET,
        decode_responses=True,
        socket_timeout=_ANSWER_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
        retry=Retry(NoBackoff(), _ONE_MORE, supported_errors=(RedisIsAway,)),
    )
