"""The channel layer while Redis is replaced."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisIsAway

from station.services.channel_layer import StationChannelLayer


def test_a_redis_that_dies_behind_a_received_message_is_no_accident(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dead:
        async def zpopmin(self, _key: str) -> None:
            raise RedisIsAway("refused")

    layer = StationChannelLayer()

    def connection(_index: int) -> Any:
        return Dead()

    monkeypatch.setattr(layer, "connection", connection)

    asyncio.run(layer._clean_receive_backup(0, "ocpp"))
