"""Quantities as people read them. The only place where mA become A and Wh become kWh."""

from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils.formats import date_format, number_format
from django.utils.translation import get_language, ngettext, pgettext

# Between number and unit; a line never breaks there.
_MINUTE_S = 60
_GAP = "\N{NO-BREAK SPACE}"
MISSING = "–"
_SHOWN_OF_CARD = 4
_MEGABYTE = 1_000_000


def ampere(current_ma: int | None, *, decimals: int = 1) -> str:
    """Format a current; whole amperes stay whole."""
    if current_ma is None:
        return MISSING
    if current_ma % 1000 == 0 and decimals <= 1:
        decimals = 0
    return _ampere(get_language(), current_ma, decimals)


@lru_cache(maxsize=1_024)
def _ampere(_language: str | None, current_ma: int, decimals: int) -> str:
    # A table of a hundred stations has the same few currents again and again.
    return f"{number_format(round(current_ma / 1000, decimals), decimals)}{_GAP}A"


def volt(voltage_mv: int | None) -> str:
    """Format a voltage."""
    return MISSING if voltage_mv is None else f"{number_format(round(voltage_mv / 1000, 1), 1)}{_GAP}V"


def kilowatt(power_w: int | None) -> str:
    """Format a power."""
    return MISSING if power_w is None else f"{kilowatt_number(power_w)}{_GAP}kW"


def kilowatt_number(power_w: int | None) -> str:
    """Format a power in kW for a place that names the unit beside it."""
    return MISSING if power_w is None else number_format(round(power_w / 1000, 2), 2)


def kilowatt_hours(energy_wh: int | None, *, decimals: int = 2) -> str:
    """Format an energy; calibrated registers are shown with three decimals, never rounded."""
    if energy_wh is None:
        return MISSING
    return f"{number_format(round(energy_wh / 1000, decimals), decimals, force_grouping=True)}{_GAP}kWh"


def percent(share: int | None) -> str:
    """Format a percentage."""
    return MISSING if share is None else f"{share}{_GAP}%"


def file_size(size_bytes: int) -> str:
    """Format the size of a file."""
    if size_bytes < _MEGABYTE:
        return f"{number_format((size_bytes + 999) // 1000)}{_GAP}kB"
    return f"{number_format(round(size_bytes / _MEGABYTE, 1), 1, force_grouping=True)}{_GAP}MB"


def duration(seconds: float | None) -> str:
    """Format a duration as hours, minutes and seconds."""
    if seconds is None:
        return MISSING
    minutes, whole_s = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole_s:02}"


def wait(seconds: int) -> str:
    """Say how long to wait, in whole seconds or minutes."""
    if seconds < 2 * 60:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": seconds}
    minutes = (seconds + 59) // 60
    return ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}


def brief_duration(seconds: int) -> str:
    """Format a duration as minutes, or as seconds where it is shorter; the units are the same in every language."""
    return hours_and_minutes(seconds // 60) if seconds >= _MINUTE_S else f"{max(0, seconds)}{_GAP}s"


def hours_and_minutes(minutes: int) -> str:
    """Format a time of many minutes with its units, which are the same in every language."""
    hours, rest = divmod(max(0, minutes), 60)
    return f"{hours}{_GAP}h {rest}{_GAP}min" if hours else f"{rest}{_GAP}min"


def moment(at: datetime | None, zone: ZoneInfo) -> str:
    """Format date and time in the station's zone."""
    # Translators: date and time as Django's date filter writes them; German: "d.m.Y, H:i"
    return MISSING if at is None else date_format(at.astimezone(zone), pgettext("date format", "j M Y, H:i"))


def moment_with_seconds(at: datetime, zone: ZoneInfo) -> str:
    """Format date and time to the second, for a clock that is looked at."""
    # Translators: date and time with seconds as Django's date filter writes them; German: "d.m.Y, H:i:s"
    return date_format(at.astimezone(zone), pgettext("date format", "j M Y, H:i:s"))


def milliseconds(took: timedelta | None) -> str:
    """Format a short duration."""
    return MISSING if took is None else f"{round(took / timedelta(milliseconds=1))}{_GAP}ms"


def time_of_day(at: datetime | None, zone: ZoneInfo) -> str:
    """Format the time in the station's zone."""
    return MISSING if at is None else date_format(at.astimezone(zone), "H:i")


def card(id_tag: str) -> str:
    """Shorten a card's number: enough for its owner, not for a copy."""
    return id_tag if len(id_tag) <= _SHOWN_OF_CARD else f"{id_tag[:_SHOWN_OF_CARD]}…"
