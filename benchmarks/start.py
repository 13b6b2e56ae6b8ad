"""From the start command to the first word to the backend."""

import asyncio
import time

from benchmarks.bench import bench
from benchmarks.result import Result, at_most, percentile

_RUNS = 5


async def measure() -> list[Result]:
    """Start a station repeatedly in the same directory; the first start makes database and identity."""
    took_s = []
    async with bench("start", launched=False) as made:
        for _ in range(_RUNS):
            mark = made.backend.mark()
            began_s = time.monotonic()
            await asyncio.to_thread(made.station.launch, ready=False)
            boot = await made.backend.wait_for("BootNotification", after=mark, timeout=30)
            took_s.append(boot.at_s - began_s)
            await asyncio.to_thread(made.station.wait_healthy)
            await asyncio.to_thread(made.station.stop)
    return [
        at_most(
            "start command → BootNotification",
            max(took_s),
            bar=4,
            unit="s",
            note=f"the slowest of {_RUNS}, p50 {percentile(took_s, 0.5):.2f} s",
        )
    ]
