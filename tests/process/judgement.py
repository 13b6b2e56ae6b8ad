"""What must be true of a station in the end, whatever was done to it: reference/reliability.md section 3, P1 and P3.

The strongest of these is the account of a meter: every watt-hour it counted belongs to exactly one transaction, so the
transactions of a connector follow one another on the register without a gap and without an overlap.
"""

import random
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ocpp_client.demo_backend.books import Books, Transaction
from tests.backend import ThreadedBackend
from tests.station import Station

# Registers are read in whole Wh on both sides.
ROUNDING_WH = 1.0
_PORTS = range(24_000, 25_000)
_TRACE = "Traceback (most recent call last)"


def free_ports(count: int) -> list[int]:
    """Find ports nobody listens at, anywhere in the range of these tests: others may be looking at the same time."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("no ports are left")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A session as the station's own database has it."""

    connector_id: int
    transaction_id: int | None
    meter_start_wh: int
    meter_stop_wh: int | None


def _rows(station: Station, question: str, *values: Any) -> list[tuple[Any, ...]]:
    place = f"file:{station.data / 'station.sqlite3'}?mode=ro"
    with closing(sqlite3.connect(place, uri=True, timeout=10)) as database:
        return list(database.execute(question, values))


def stored_status(station: Station, connector: int) -> str:
    """Read the status of a connector as the station itself has it, which the simulator knows earlier."""
    return str(_rows(station, "SELECT status FROM station_connector WHERE number = ?", connector)[0][0])


def stored_sessions(
    station: Station, connector: int | None = None, *, still_open_at: datetime | None = None
) -> list[Stored]:
    """Read the sessions from the database: all, or those of a connector that had not ended at a moment."""
    question = (
        "SELECT connector_id, transaction_id, meter_start_wh, meter_stop_wh FROM station_chargingsession"
        " WHERE (? IS NULL OR connector_id = ?) AND (? IS NULL OR stopped_at IS NULL OR stopped_at >= ?) ORDER BY id"
    )
    moment = None if still_open_at is None else still_open_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return [
        Stored(connector_id=row[0], transaction_id=row[1], meter_start_wh=row[2], meter_stop_wh=row[3])
        for row in _rows(station, question, connector, connector, moment, moment)
    ]


def owed(station: Station) -> int:
    """Count the messages the backend has not confirmed yet."""
    return int(_rows(station, "SELECT count(*) FROM station_outboxmessage WHERE status IN ('pending', 'sent')")[0][0])


def owed_but_samples(station: Station) -> int:
    """Count the begins and ends of sessions the backend has not confirmed; while a car charges, samples come and go."""
    found = _rows(
        station,
        "SELECT count(*) FROM station_outboxmessage WHERE status IN ('pending', 'sent') AND kind <> 'meter_sampled'",
    )
    return int(found[0][0])


def set_aside(station: Station) -> int:
    """Count the messages set aside as undeliverable; a healthy pair never has one."""
    return int(_rows(station, "SELECT count(*) FROM station_outboxmessage WHERE status = 'set_aside'")[0][0])


def complaints_about_books(station: Station, backend: ThreadedBackend) -> list[str]:
    """Compare the backend's books with the station's: each session once, begun, ended, with the same registers."""
    books = backend.books
    found = [f"{one.kind}: {one.detail} ({one.message_id})" for one in books.irregularities]
    found += [f"never stopped: {one}" for one in books.open_transactions()]
    found += [f"schema: {one.reason}: {one.frame.text[:300]!r}" for one in backend.schema_errors]
    found += [f"two calls at a time: {a.text[:80]!r}, {b.text[:80]!r}" for a, b in backend.backend.overlapping_calls]
    booked = {one.transaction_id: one for one in books.transactions}
    sessions = stored_sessions(station)
    if len(booked) != len(books.transactions) or len(sessions) != len(booked):
        found.append(f"{len(sessions)} sessions, {len(books.transactions)} transactions")
    for session in sessions:
        one = booked.get(session.transaction_id)
        ours = (session.connector_id, session.meter_start_wh, session.meter_stop_wh)
        if one is None or (one.connector_id, one.meter_start_wh, one.meter_stop_wh) != ours:
            found.append(f"{session} is booked as {one}")
    if set_aside(station):
        found.append(f"{set_aside(station)} messages set aside")
    return found


def complaints_about_energy(
    books: Books, connector: int, *, first_wh: float, last_wh: float, unread: frozenset[int | None] = frozenset()
) -> list[str]:
    """Go through the account of one meter.

    `unread`: transactions whose meter could not be read at some time, where the register after them is only a bound.
    """
    found = []
    before_wh, slack_wh = first_wh, 0.0
    for one in _in_time(books, connector):
        step_wh = one.meter_start_wh - before_wh
        if step_wh < -ROUNDING_WH or step_wh > ROUNDING_WH + slack_wh:
            found.append(f"connector {connector}: {step_wh:+.1f} Wh before {one}")
        before_wh = float(one.meter_stop_wh if one.meter_stop_wh is not None else one.meter_start_wh)
        slack_wh = float("inf") if one.transaction_id in unread else 0.0
    step_wh = last_wh - before_wh
    if step_wh < -ROUNDING_WH or step_wh > ROUNDING_WH + slack_wh:
        found.append(f"connector {connector}: {step_wh:+.1f} Wh after the last transaction")
    return found


def _in_time(books: Books, connector: int) -> list[Transaction]:
    return sorted(
        (one for one in books.transactions if one.connector_id == connector),
        key=lambda one: (one.meter_start_wh, one.started_at),
    )


def tracebacks(data: Path) -> Iterator[str]:
    """Find what crashed: each traceback of the processes' logs with its lines."""
    for log in sorted((data / "logs").glob("*.log*")):
        lines = log.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if _TRACE in line:
                yield f"{log.name}:{number}\n" + "\n".join(lines[max(0, number - 2) : number + 40])


def wait_until_delivered(station: Station, backend: ThreadedBackend, *, timeout_s: float = 30.0) -> None:
    """Wait until nothing is owed, no session runs and the backend has closed every transaction."""
    deadline_s = time.monotonic() + timeout_s
    while owed(station) or backend.books.open_transactions():
        if time.monotonic() > deadline_s:
            problem = f"{owed(station)} messages owed, open: {backend.books.open_transactions()}"
            raise AssertionError(f"not delivered within {timeout_s} s: {problem}")
        time.sleep(0.05)
