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
# Longer than a question lasts, and shorter than a revived Redis should be done without.
_REMEMBERED_S = 3.0
# A blocking command has to give up well before the time-out of its connection.
LONGEST_BLOCK_S = 1.0
# A pooled connection may have died with an earlier Redis; a fresh one finds the new one.
_ONE_MORE = 1


class HangMemory:
    """Remembers for a moment that Redis hangs, so that a page waits for it once and not at every question.

    One asker at a time finds out whether it answers again; the others do without it meanwhile.
    """

    def __init__(self) -> None:
        self._not_before_s = 0.0

    def may_ask(self, at_s: float) -> bool:
        """Return whether this caller may ask Redis now; `answered` or `hung` tells how it went."""
        if at_s < self._not_before_s:
            return False
        if self._not_before_s:
            self.hung(at_s)
        return True

    def hung(self, at_s: float) -> None:
        """Note that it does not answer."""
        self._not_before_s = at_s + _REMEMBERED_S

    def answered(self) -> None:
        """Note that it answers, or that it is gone, which is told at once."""
        self._not_before_s = 0.0


@cache
def hang_memory() -> HangMemory:
    """Return this process's memory."""
    return HangMemory()


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
        driver_info=None,
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
        driver_info=None,
    )
