"""`python -m benchmarks.reliability --kills 3000 --frames 100000 --offline-days 30 --soak 24` gives the big doses.

The doses are those of the tests in tests/reliability, in portions: each portion's figures are appended to a file, and a
run that was interrupted goes on where that file ends. `--write` replaces the table in docs/reliability.md.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bench import MeasuredStation, bench
from benchmarks.inside import SESSION_MINUTES, SESSIONS_A_DAY
from benchmarks.outage import inside
from benchmarks.processes import memory, of_station
from benchmarks.reliability_table import Record, table
from benchmarks.run import BEGIN, END

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
# Lives of a simulated station, frames, acts on real processes in one portion: some minutes each.
LIVES, FRAMES, ACTS = 20, 20_000, 25


class Budget:
    """The time a run may take."""

    def __init__(self, minutes: float) -> None:
        self._end_s = time.monotonic() + minutes * 60

    @property
    def is_left(self) -> bool:
        """Whether another portion may begin."""
        return time.monotonic() < self._end_s


def dose(record: Record, test: str, *options: str) -> None:
    """Give one portion: the tests of one file with these options.

    Without pytest's capture of the log: what it keeps would be taken for memory of the station.
    """
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIRECTORY")) as directory:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:warnings", "-p", "no:logging"),
                *(f"--basetemp={directory}/pytest", f"--figures={record.path}", *options),
                f"tests/reliability/{test}",
            ],
            cwd=ROOT,
            env={**os.environ, "STATION_DATA_DIR": f"{directory}/station", "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            check=False,
        )
    print(done.stdout.splitlines()[-1] if done.stdout else done.stderr[-500:], flush=True)
    if done.returncode:
        failures = record.path.with_suffix(".failures.txt")
        with failures.open("a") as file:
            file.write(done.stdout + done.stderr)


def live_and_die(record: Record, budget: Budget, kills: int) -> None:
    """Simulate stations until so many processes were killed; every fourth portion is one of mixed trouble."""
    portion = 0
    while sum(each["kills"] for each in record.of("simulated station")) < kills and budget.is_left:
        portion += 1
        deadly = bool(portion % 4)
        seed = record.next_seed("simulated station", deadly=deadly)
        options = ["--deadly"] if deadly else []
        dose(record, "test_simulated_stations.py", f"--seed={seed}", f"--seeds={LIVES}", *options)


def fuzz(record: Record, budget: Budget, frames: int) -> None:
    """Send fuzzed frames of each kind."""
    tests = {"fuzz OCPP": "test_fuzzed_ocpp.py", "fuzz serial bytes": "test_fuzzed_devices.py"}
    for subject, test in tests.items():
        while (sent := sum(each["frames"] for each in record.of(subject))) < frames and budget.is_left:
            portion = min(FRAMES, frames - sent)
            dose(record, test, f"--seed={record.next_seed(subject)}", f"--frames={portion}")


def real_processes(record: Record, budget: Budget, acts: int) -> None:
    """Kill and stop processes of started stations."""
    while sum(each["acts"] for each in record.of("real processes")) < acts and budget.is_left:
        seed = record.next_seed("real processes")
        before = len(record.of("real processes"))
        dose(record, "test_real_processes.py", f"--seed={seed}", f"--acts={ACTS}")
        if len(record.of("real processes")) == before:
            # It ended before it could be judged; the failures beside the record say how.
            record.append(
                "real processes", seed=seed, acts=0, kills={}, problems=0, transactions=0, slowest_recovery_s=0
            )


def soak(record: Record, budget: Budget, hours: float) -> None:
    """Let a simulated station charge without a pause."""
    if hours and budget.is_left and not [each for each in record.of("soak") if each["hours"] >= hours]:
        dose(record, "test_soak.py", f"--soak={hours:g}")


async def offline(record: Record, days: int) -> None:
    """Drain the messages of a month without a backend, filled into the database of a real station."""
    async with bench("month", launched=False) as made:
        began_s = time.monotonic()
        await made.launch()
        empty_s = time.monotonic() - began_s
        before = _memory(made)
        await asyncio.to_thread(made.station.stop)
        await inside(made, "month", str(days))
        mark = made.backend.mark()
        began_s = time.monotonic()
        await made.launch()
        ready_s = time.monotonic() - began_s
        sessions = days * SESSIONS_A_DAY * 2
        highest = dict(before)
        deadline_s = time.monotonic() + 1800
        while len([one for one in made.backend.books.transactions if not one.is_open]) < sessions:
            if time.monotonic() > deadline_s:
                break
            for name, mib in _memory(made).items():
                highest[name] = max(highest.get(name, 0.0), mib)
            await asyncio.sleep(2.0)
        took_s = time.monotonic() - began_s
        books = made.backend.books
        ours = [
            frame
            for frame in made.backend.received(after=mark)
            if frame.action in {"StartTransaction", "MeterValues", "StopTransaction"}
        ]
        record.append(
            "offline",
            days=days,
            sessions=sessions,
            messages=len(ours),
            stored=sessions * (SESSION_MINUTES + 1),
            closed=sum(not one.is_open for one in books.transactions),
            irregularities=[f"{one.kind}: {one.detail}" for one in books.irregularities[:10]],
            right_energy=sum(one.energy_wh == (SESSION_MINUTES - 1) * 180 for one in books.transactions),
            minutes=round(took_s / 60, 1),
            messages_a_second=round(len(ours) / took_s),
            start_s=round(ready_s, 1),
            start_empty_s=round(empty_s, 1),
            growth_mib={name: round(mib - before.get(name, mib), 1) for name, mib in highest.items()},
        )


def _memory(made: MeasuredStation) -> dict[str, float]:
    return {name: memory(pid).private for name, pid in of_station(made.station).items()}


def write(text: str) -> None:
    """Replace the table in the document."""
    document = DOCUMENT.read_text()
    before, _, rest = document.partition(BEGIN)
    _, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """Give the doses asked for, within the time given; the exit code tells whether every promise was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0, help="of processes of simulated stations")
    parser.add_argument("--process-kills", type=int, default=0, help="acts on real processes, most of them kills")
    parser.add_argument("--frames", type=int, default=0, help="of each kind")
    parser.add_argument("--offline-days", type=int, default=0)
    parser.add_argument("--soak", type=float, default=0, metavar="HOURS", help="of the station's time")
    parser.add_argument("--minutes", type=float, default=240, help="begin no portion after this time")
    parser.add_argument("--record", type=Path, default=ROOT / "reliability.jsonl", help="where figures are kept")
    parser.add_argument("--write", action="store_true", help="replace the table in docs/reliability.md")
    wanted = parser.parse_args()
    record, budget = Record(wanted.record.resolve()), Budget(wanted.minutes)
    fuzz(record, budget, wanted.frames)
    if wanted.offline_days and budget.is_left:
        asyncio.run(offline(record, wanted.offline_days))
    soak(record, budget, wanted.soak)
    real_processes(record, budget, wanted.process_kills)
    live_and_die(record, budget, wanted.kills)
    print(table(record))
    if wanted.write:
        write(table(record))
    failed = [each for each in record.of("simulated station") if each["complaints"]]
    failed += [each for each in (*record.of("real processes"), *record.of("fuzz OCPP")) if each["problems"]]
    failed += [each for each in record.of("real processes") if each.get("tracebacks") or not each["acts"]]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
