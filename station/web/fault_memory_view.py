"""The fault memory in words, with what a support person asks next: why, how to find out, and what to do."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.formats import get_format
from django.utils.translation import gettext as _

from station.domain.faults import CATALOGUE, FaultCode, FaultKind
from station.models import FaultMemory
from station.ui import fault_words, spreadsheet, words
from station.ui import format as formats


@dataclass(frozen=True, kw_only=True)
class MemoryRow:
    """One fault at one place. `blinks`: red blinks of the lamp, 0 where it shows something else."""

    fault: str
    place: str
    count: int
    first: str
    since: str
    until: str
    lasts: bool
    blinks: int
    error_code: str
    cause: str
    check: str
    measure: str


def rows(entries: Iterable[FaultMemory], *, zone: ZoneInfo) -> list[MemoryRow]:
    """Return the rows of the page."""
    return [_row(each, zone) for each in entries]


def _row(entry: FaultMemory, zone: ZoneInfo) -> MemoryRow:
    kind = _kind(entry.code)
    return MemoryRow(
        fault=words.word(words.FAULTS, entry.code),
        place=str(entry.number) if entry.number else _("Station"),
        count=entry.count,
        first=formats.moment(entry.first_at, zone),
        since=formats.moment(entry.since, zone),
        until=formats.moment(entry.until, zone) if entry.until else "",
        lasts=entry.until is None,
        blinks=(kind.lamp_blinks or 0) if kind else 0,
        error_code=error_code(entry.code),
        cause=words.word(fault_words.CAUSES, entry.code, unknown=""),
        check=words.word(fault_words.CHECKS, entry.code, unknown=""),
        measure=words.word(words.FAULT_ADVICE, entry.code, unknown=""),
    )


def _kind(code: str) -> FaultKind | None:
    # Before a step back to an older version, a newer one may have met what this one does not know.
    return CATALOGUE[FaultCode(code)] if code in FaultCode.__members__.values() else None


def error_code(code: str) -> str:
    """Return what the backend is told: errorCode, and vendorErrorCode where there is one."""
    kind = _kind(code)
    if kind is None:
        return code
    return " / ".join(filter(None, (kind.ocpp_error_code, kind.vendor_error_code)))


def table_file(entries: Iterable[FaultMemory], *, zone: ZoneInfo) -> str:
    """Write the memory as CSV for the spreadsheet program of the reader's language."""
    out = io.StringIO()
    # Excel takes UTF-8 for granted only after a byte-order mark.
    out.write("\N{ZERO WIDTH NO-BREAK SPACE}")
    separator = ";" if get_format("DECIMAL_SEPARATOR") == "," else ","
    writer = csv.writer(out, delimiter=separator, lineterminator="\r\n")
    zoned = {"zone": zone.key}
    writer.writerow(
        [
            _("Charging point"),
            _("Fault"),
            _("Error code"),
            _("Count"),
            _("First time (%(zone)s)") % zoned,
            _("Last since (%(zone)s)") % zoned,
            _("Last until (%(zone)s)") % zoned,
            _("Red blinks of the lamp"),
            _("Cause"),
            _("Check"),
            _("Measure"),
        ]
    )
    for entry in entries:
        row = _row(entry, zone)
        cells = (
            row.place,
            row.fault,
            row.error_code,
            row.count,
            _moment(entry.first_at, zone),
            _moment(entry.since, zone),
            _moment(entry.until, zone),
            row.blinks or "",
            row.cause,
            row.check,
            row.measure,
        )
        writer.writerow([spreadsheet.guard(str(cell)) for cell in cells])
    return out.getvalue()


def _moment(at: datetime | None, zone: ZoneInfo) -> str:
    return "" if at is None else at.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
