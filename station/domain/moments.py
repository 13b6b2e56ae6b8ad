"""Moments on the wire: always UTC, always with Z, milliseconds."""

from datetime import UTC, datetime, timedelta

# Python's calendar ends at the years 1 and 9999, and a moment at its very edge cannot be shown in another zone. Nobody
# means these days by themselves: they stand for "always" and "never".
_MARGIN = timedelta(days=1)
EARLIEST = datetime.min.replace(tzinfo=UTC) + _MARGIN
LATEST = datetime.max.replace(tzinfo=UTC) - _MARGIN
# The software is younger than any stamp before this: a clock that shows one was never set.
EARLIEST_STAMP = datetime(2026, 1, 1, tzinfo=UTC)
# Nor does it live until this: a backend whose date is the end of its calendar must not take the station there.
LATEST_STAMP = datetime(2100, 1, 1, tzinfo=UTC)


def to_wire(moment: datetime) -> str:
    """Write an aware moment as OCPP dateTime, e.g. 2026-11-20T22:58:48.123Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def from_wire(text: str) -> datetime:
    """Read an ISO 8601 dateTime; a stamp without a zone means UTC (OCPP 1.6 section 3.15). Raises ValueError.

    A date at the edge of the calendar or beyond it (0001-01-01T00:00:00+01:00) becomes `EARLIEST` or `LATEST`: it is a
    bound, and the nearest that can be computed with says the same.
    """
    moment = datetime.fromisoformat(text.strip())
    naive = moment.replace(tzinfo=None)
    if naive < EARLIEST.replace(tzinfo=None) + _MARGIN:
        return EARLIEST
    if naive > LATEST.replace(tzinfo=None) - _MARGIN:
        return LATEST
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def lenient(text: object) -> datetime | None:
    """Read a dateTime that somebody else wrote; None where there is none or it is no dateTime."""
    if not isinstance(text, str):
        return None
    try:
        return from_wire(text)
    except ValueError:
        return None


def expiry_from_wire(text: str) -> datetime | None:
    """Read the expiry of a card; None where there is none. Raises ValueError.

    Backends written in C# or Go send their empty date, the first day of the calendar, for a card without an expiry; an
    expired one they call Expired.
    """
    if not text.strip():
        return None
    moment = from_wire(text)
    return None if moment == EARLIEST else moment


def lenient_expiry(text: object) -> datetime | None:
    """Read the expiry of a card; None where there is none or it is no date."""
    moment = lenient(text)
    return None if moment == EARLIEST else moment
