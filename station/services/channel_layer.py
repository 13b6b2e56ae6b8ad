"""The channel layer between the processes, on the station's private Redis."""

from contextlib import suppress

from channels_redis.core import RedisChannelLayer
from redis.exceptions import RedisError
from typing_extensions import override


class StationChannelLayer(RedisChannelLayer):  # type: ignore[misc]
    """A layer that reports no accident when Redis is replaced while a received message is being tidied up."""

    @override
    async def _clean_receive_backup(self, index: int, channel: str) -> None:
        # The copy that was to be deleted is gone with the old Redis.
        with suppress(RedisError, OSError):
            await super()._clean_receive_backup(index, channel)
