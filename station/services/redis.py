"""Connections to the station's private Redis. Losing it costs freshness, never a record."""

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis

_CONNECT_TIMEOUT_S = 1.0


@cache
def client() -> "Redis":
    """Answer this process's connection pool for synchronous code."""
    from redis import Redis

    return Redis(
        unix_socket_path=settings.REDIS_SOCKET,
        decode_responses=True,
        socket_timeout=None,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
    )


def async_client() -> "AsyncRedis":
    """Make a connection pool for the running event loop; its owner closes it."""
    from redis.asyncio import Redis as AsyncRedis

    return AsyncRedis(
        unix_socket_path=settings.REDIS_SOCKET,
        decode_responses=True,
        socket_timeout=None,
        socket_connect_timeout=_CONNECT_TIMEOUT_S,
    )
