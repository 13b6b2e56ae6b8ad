"""`python -m benchmarks.run [subject …]` measures; with `--write` the table in docs/benchmarks.md is replaced."""

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from benchmarks.result import Result, percentile

SUBJECTS = ("start", "calls", "charging", "outage", "kill", "cost", "pages", "cluster_page", "allocator")
DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
_FLUSHES = 200
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def machine() -> str:
    """Describe what the numbers were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown CPU")
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {model}, Linux {platform.release()}, Python {platform.python_version()}"


def flush() -> str:
    """Measure what a flush of the disk costs that every durable answer waits for."""
    took_s = []
    with tempfile.TemporaryFile(dir=os.environ.get("BENCH_DIRECTORY")) as file:
        for _ in range(_FLUSHES):
            file.write(bytes(8192))
            file.flush()
            began_s = time.monotonic()
            os.fdatasync(file.fileno())
            took_s.append(time.monotonic() - began_s)
    return f"p50 {percentile(took_s, 0.5) * 1000:.1f}, p95 {percentile(took_s, 0.95) * 1000:.1f} ms"


def table(results: list[Result]) -> str:
    """Write the results as Markdown."""
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = f"load average {os.getloadavg()[0]:.1f} at the end, flush of the disk {flush()}"
    head = [f"Measured {moment} on {machine()}; {load}.", ""]
    head += ["| what | bar | measured | |", "| --- | --- | --- | --- |"]
    rows = [f"| {each.subject} | {each.bar} | {each.measured} | {each.verdict} |" for each in results]
    return "\n".join([*head, *rows])


def write(text: str) -> None:
    """Replace the table in the document."""
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """Measure the named subjects, or all; the exit code tells whether every bar was met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="subject", help=", ".join(SUBJECTS))
    parser.add_argument("--write", action="store_true", help="replace the table in docs/benchmarks.md")
    wanted = parser.parse_args()
    unknown = set(wanted.subjects) - set(SUBJECTS)
    if unknown:
        parser.error(f"no such subject: {', '.join(sorted(unknown))}")
    results: list[Result] = []
    for name in wanted.subjects or SUBJECTS:
        measure: Callable[[], Awaitable[list[Result]]] = import_module(f"benchmarks.{name}").measure
        for result in asyncio.run(_awaited(measure)):
            print(f"{result.subject}: {result.measured}; bar {result.bar}: {result.verdict}", flush=True)
            results.append(result)
    print(f"\n{table(results)}")
    if wanted.write:
        write(table(results))
    return 0 if all(each.passed for each in results) else 1


async def _awaited(measure: Callable[[], Awaitable[list[Result]]]) -> list[Result]:
    return await measure()


if __name__ == "__main__":
    sys.exit(main())
