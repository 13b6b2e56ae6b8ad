"""Room for more calls of the backend."""

import asyncio

from ocpp_client.incoming.load import MOST_BYTES, Load


async def test_whoever_reads_waits_while_too_much_is_under_way() -> None:
    load = Load()
    load.add(MOST_BYTES)
    waiting = asyncio.create_task(load.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    load.remove(MOST_BYTES)

    await asyncio.wait_for(waiting, 1)
    assert load.bytes == 0


async def test_many_small_calls_fill_it_as_well() -> None:
    load = Load()
    taken = 0
    while load.bytes < MOST_BYTES:
        load.add(0)
        taken += 1

    assert taken <= 2000
