"""How long a page takes on the server, with a thousand entries in every list."""

import asyncio
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.bench import MeasuredStation, bench
from benchmarks.calls import local_list
from benchmarks.inside import ROWS
from benchmarks.result import Result, latency

_RUNS = 10
_ROOT = Path(__file__).resolve().parent.parent


async def inside(made: MeasuredStation, *words: str) -> str:
    """Run `benchmarks.inside` on the station's data directory."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.inside",
        str(made.station.data),
        *words,
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        raise AssertionError(f"benchmarks.inside ended with {process.returncode}")
    return said.decode()


async def measure() -> list[Result]:
    """Ask for every page of the menu and every list of the administration."""
    async with bench("pages") as made:
        await made.backend.call("SendLocalList", local_list(1, ROWS, "Full"))
        await inside(made, "rows", str(ROWS))
        cookie, *lists = (await inside(made, "sign-in")).split()
        results = []
        for name, path in {"dashboard": "/", "connectors": "/station/connectors"}.items():
            results.append(latency(f"page {name}", await asyncio.to_thread(asked, made, path, cookie), bar_ms=100))
        slowest: list[float] = []
        slowest_path = ""
        for path in lists:
            took_s = await asyncio.to_thread(asked, made, path, cookie)
            if sorted(took_s)[-2:] > sorted(slowest)[-2:]:
                slowest, slowest_path = took_s, path
        subject = f"page with {ROWS} entries, slowest of {len(lists)} pages and lists: {slowest_path}"
        # Last: the pages above show the list of the backend.
        took_s = [float(line) for line in (await inside(made, "import", str(ROWS))).split()]
        imported = latency(f"CSV import of {ROWS} lines, replacing as many", took_s, bar_ms=1000)
        return [*results, latency(subject, slowest, bar_ms=100), imported]


def asked(made: MeasuredStation, path: str, cookie: str) -> list[float]:
    """Ask for a page over and over; return how long each answer took."""
    took_s = []
    connection = HTTPConnection("127.0.0.1", made.station.http_port, timeout=30)
    # The first request loads code and templates; nobody waits for them a second time.
    for turn in range(_RUNS + 1):
        began_s = time.monotonic()
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        if turn:
            took_s.append(time.monotonic() - began_s)
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status} {body[:200]!r}")
    connection.close()
    return took_s
