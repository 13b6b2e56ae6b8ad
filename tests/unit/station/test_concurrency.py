import asyncio
import logging

import pytest

from station.concurrency import BackgroundTasks, wait_or_timeout

logger = logging.getLogger(__name__)


async def test_an_event_that_is_set_ends_the_waiting():
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)

    assert await wait_or_timeout(event, 10)


async def test_the_time_ends_the_waiting_for_an_event_that_never_comes():
    assert not await wait_or_timeout(asyncio.Event(), 0)


async def test_a_cancellation_that_meets_the_event_is_not_lost():
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_or_timeout(event, 10))
    await asyncio.sleep(0)
    event.set()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_background_task_that_fails_is_logged(caplog):
    async def fail() -> None:
        raise ValueError("no")

    tasks = BackgroundTasks(logger)
    await asyncio.wait({tasks.spawn(fail())})

    assert "fail" in caplog.text
    assert "ValueError: no" in caplog.text
    assert len(tasks) == 0


async def test_an_expected_failure_is_not_logged(caplog):
    async def fail() -> None:
        raise ConnectionResetError

    tasks = BackgroundTasks(logger, expected=(OSError,))
    await asyncio.wait({tasks.spawn(fail())})

    assert not caplog.text


async def test_closing_cancels_what_is_still_running(caplog):
    tasks = BackgroundTasks(logger)
    running = tasks.spawn(asyncio.Event().wait())

    await tasks.close()

    assert running.cancelled()
    assert len(tasks) == 0
    assert not caplog.text
