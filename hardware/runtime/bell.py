"""Waiting for a bell, but not for ever."""

import asyncio


async def rung(bell: asyncio.Event, seconds: float) -> bool:
    """Wait until the bell rings or the time is over; answers whether it rang.

    Unlike `asyncio.wait_for` of Python 3.11 this never loses a cancellation that comes at the same moment as the bell.
    """
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True
