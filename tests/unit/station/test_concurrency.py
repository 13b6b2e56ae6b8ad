import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.concurrency import BackgroundTasks, until_tick_s, wait_or_timeout

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


@given(st.sampled_from([0.125, 0.25, 0.5, 1.0, 2.0]), st.floats(0, 1e6))
def test_what_is_repeated_meets_at_the_multiples_of_its_period_and_never_twice(period_s: float, now_s: float):
    wait_s = until_tick_s(period_s, now_s)

    assert 0 < wait_s <= 1.02 * period_s
    beside = (now_s + wait_s) % period_s
    assert min(beside, period_s - beside) < 1e-6
    # A timer that fires a moment early does not make it do the same at once again.
    assert until_tick_s(period_s, now_s + wait_s - 1e-3 * period_s) > period_s / 2
