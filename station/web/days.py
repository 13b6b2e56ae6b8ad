"""Days that people enter, as moments of the station's time zone."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def midnight(day: date | None, zone: ZoneInfo) -> datetime | None:
    """Return the moment a day begins."""
    return None if day is None else datetime.combine(day, time.min, tzinfo=zone)


def after(day: date | None, zone: ZoneInfo) -> datetime | None:
    """Return the moment a day is over; None also for the last day of the calendar."""
    return midnight(day + timedelta(days=1), zone) if day is not None and day < date.max else None
