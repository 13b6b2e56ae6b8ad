"""Waiting for a bell with a limit.

`asyncio.wait_for` of Python 3.11 swallows a cancellation that meets the end of the waiting (CPython issue 86296); a
loop around it would then never end.
"""

import asyncio


async def rung(bell: asyncio.Event, seconds: float | None) -> bool:
    """Wait until the bell rings, so many seconds at most (None: for ever); answers whether it rang."""
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return False
    return True
