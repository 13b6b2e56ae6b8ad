"""Memory and processor time of the whole station, idle and charging."""

import asyncio
import time

from benchmarks import processes
from benchmarks.bench import MeasuredStation, bench
from benchmarks.pages import inside
from benchmarks.result import Result, at_most

# What a start leaves to be done (beat's first round, the first pages) is over by then.
_SETTLES_S = 15.0
_WATCHED_S = 60.0
# A sample every second for more than a day.
_SAMPLES = 100_000


async def measure() -> list[Result]:
    """Leave a station alone for a minute, then let both points charge with a sample each second."""
    config = {"MeterValueSampleInterval": "1", "/identity/connectors": "2"}
    async with bench("cost", config=config) as made:
        await asyncio.sleep(_SETTLES_S)
        whole, parts = processes.whole_memory(made.station)
        alone = sum(processes.memory(pid).pss for pid in processes.of_station(made.station).values())
        note = " + ".join(f"{name} {size:.1f}" for name, size in parts.items())
        note += f"; the processes alone, beside the simulator: {alone:.1f}"
        idle = await _cpu(made, "CPU idle", bar=1)
        await made.start_charging(number=1)
        await made.start_charging(number=2, tag="04A2B3C5")
        await asyncio.sleep(5)
        busy = await _cpu(made, "CPU, two points charging with 1 s samples", bar=3)
    async with bench("samples", launched=False) as made:
        peak = float(await inside(made, "long-session", str(_SAMPLES)))
    return [
        at_most("memory (PSS) of the whole station, idle", whole, bar=190, unit="MiB", note=note),
        at_most(f"memory for the end of a session with {_SAMPLES} samples", peak, bar=4, unit="MiB"),
        idle,
        busy,
    ]


async def _cpu(made: MeasuredStation, subject: str, *, bar: float) -> Result:
    pids = processes.of_station(made.station)
    before = {name: processes.cpu_seconds(pid) for name, pid in pids.items()}
    began_s = time.monotonic()
    await asyncio.sleep(_WATCHED_S)
    minutes = (time.monotonic() - began_s) / 60
    used = {name: (processes.cpu_seconds(pid) - before[name]) / minutes for name, pid in pids.items()}
    note = " + ".join(f"{name} {seconds:.2f}" for name, seconds in used.items())
    return at_most(subject, sum(used.values()), bar=bar, unit="s/min", note=note)
