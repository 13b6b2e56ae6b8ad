"""Calls whose connection goes while they are being sent."""

import asyncio
import gc
from typing import Any

import pytest
from ocpp.v16 import call

from ocpp_client.rpc.calls import Calls, NotConnected


def test_a_connection_that_goes_during_the_sending_leaves_no_answer_unheard() -> None:
    complaints: list[dict[str, Any]] = []

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        calls = Calls()

        async def send(_frame: str) -> None:
            calls.detach()
            raise NotConnected

        calls.attach(send)
        with pytest.raises(NotConnected):
            await calls.call(call.Heartbeat())
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    assert complaints == []
