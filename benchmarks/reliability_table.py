"""What the doses of `benchmarks.reliability` have measured so far, and the table made of it."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.run import machine

FUZZED = ("fuzz OCPP", "fuzz serial bytes", "fuzz Modbus answers")
Figures = dict[str, Any]
Row = tuple[str, str, str, str]


@dataclass
class Record:
    """The file with all figures so far."""

    path: Path

    def of(self, subject: str, **wanted: Any) -> list[Figures]:
        """List the figures of a subject."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        found = [json.loads(line) for line in lines]
        return [
            each
            for each in found
            if each["subject"] == subject and all(each.get(name) == value for name, value in wanted.items())
        ]

    def append(self, subject: str, **figures: Any) -> None:
        """Write figures down."""
        with self.path.open("a") as file:
            file.write(json.dumps({"subject": subject, **figures}) + "\n")

    def next_seed(self, subject: str, **wanted: Any) -> int:
        """Find a seed that was not used yet."""
        return max((each["seed"] for each in self.of(subject, **wanted)), default=0) + 1


def bound(failures: int, trials: int) -> str:
    """Give the 95 % upper bound of a rate: the rule of three for none, else what was seen is said."""
    if failures:
        return f"{failures} of {trials}"
    return f"< {3 / trials * 100:.2g} % (95 %, 0 of {trials:,})" if trials else "not measured"


def table(record: Record) -> str:
    """Write what was measured as Markdown."""
    lines = ["| what | dose | measured | 95 % bound |", "| --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in _rows(record)]
    moment = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return "\n".join([f"Measured {moment} on {machine()}.", "", *lines])


def _rows(record: Record) -> Iterator[Row]:
    yield from _lives(record.of("simulated station"))
    yield from _storms(record.of("real processes"))
    for subject in FUZZED:
        fuzzed = record.of(subject)
        frames, problems = sum(each["frames"] for each in fuzzed), sum(each["problems"] for each in fuzzed)
        growth = max((each["growth_mib"] for each in fuzzed), default=0.0)
        yield (subject, f"{frames:,} frames", f"{problems} problems, memory +{growth:.1f} MiB", bound(problems, frames))
    yield from _months(record.of("offline")[-1:])
    yield from _soaks(record.of("soak")[-1:])


def _lives(lives: list[Figures]) -> Iterator[Row]:
    if not lives:
        return
    kills, transactions = sum(each["kills"] for each in lives), sum(each["transactions"] for each in lives)
    broken = [each for each in lives if each["complaints"]]
    hours = sum(each["virtual_s"] for each in lives) / 3600
    yield (
        "P1, P3, P4: lives of a simulated station under all failures",
        f"{len(lives)} lives, {hours:.0f} h of the stations, {kills:,} kills, {transactions:,} transactions",
        f"{len(broken)} lives with a broken promise" + (f" (seeds {_seeds(broken)})" if broken else ""),
        f"per kill {bound(len(broken), kills)}; per transaction {bound(len(broken), transactions)}",
    )


def _storms(storms: list[Figures]) -> Iterator[Row]:
    if not storms:
        return
    counted: Counter[str] = Counter()
    for each in storms:
        counted.update(each["kills"])
    judged = [each for each in storms if each["acts"]]
    wrong = sum(bool(each["problems"]) for each in judged)
    traced = sum(bool(each.get("tracebacks")) for each in judged)
    slowest = max((each["slowest_recovery_s"] for each in storms), default=0.0)
    yield (
        "P1, P5: processes of started stations killed and stopped, network broken",
        (
            f"{counted.total():,} kills ({', '.join(f'{name} {number}' for name, number in counted.most_common())}), "
            f"{sum(each['transactions'] for each in storms):,} transactions"
        ),
        (
            f"{wrong} of {len(judged)} stations with wrong books; {traced} with a traceback in a log; "
            f"{len(storms) - len(judged)} not judged; control back after {slowest:.1f} s at the slowest"
        ),
        f"per kill {bound(wrong, counted.total())}",
    )


def _months(months: list[Figures]) -> Iterator[Row]:
    for each in months:
        yield (
            "F22, P1, P5: days without a backend, then drained",
            f"{each['days']} days, {each['sessions']:,} sessions, {each['stored']:,} messages stored",
            (
                f"{each['closed']:,} closed, {each['right_energy']:,} with the right energy, "
                f"{len(each['irregularities'])} irregularities; {each['messages']:,} messages in {each['minutes']} min "
                f"({each['messages_a_second']} a second); start {each['start_s']} s (empty {each['start_empty_s']} s); "
                f"memory {', '.join(f'{name} +{mib}' for name, mib in each['growth_mib'].items() if mib > 1)} MiB"
            ),
            bound(each["sessions"] - each["right_energy"] + len(each["irregularities"]), each["sessions"]),
        )


def _soaks(soaks: list[Figures]) -> Iterator[Row]:
    for each in soaks:
        growth = each["growth"]
        yield (
            "P6: charging without a pause, in compressed time",
            f"{each['hours']:g} h of the station, {each['sessions']:,} sessions",
            (
                f"memory {growth['rss_mib']:+.1f} of {each['last']['rss_mib']} MiB, files {growth['files']:+.0f}, "
                f"tasks {growth['tasks']:+.0f}, database {growth['database_mib']:+.1f} MiB"
            ),
            "–",
        )


def _seeds(broken: list[Figures]) -> str:
    return ", ".join(f"{each['seed']}{' deadly' if each.get('deadly') else ''}" for each in broken[:12])
