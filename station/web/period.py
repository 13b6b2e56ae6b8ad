"""The period that lists are narrowed to: days that people enter, as moments of the station's time zone."""

from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy


class PeriodForm(forms.Form):
    """The first and the last day of what somebody looks for."""

    since = forms.DateField(
        label=gettext_lazy("From"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    until = forms.DateField(
        label=gettext_lazy("To"), required=False, widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error(
                "until", _("The last day is before the first. Choose %(day)s or a later one.") % {"day": since}
            )
        return cleaned

    def period(self, zone: ZoneInfo) -> dict[str, datetime | None]:
        """Return `since` and `before`; a day that cannot be understood does not narrow the list."""
        return {
            "since": _begin(self.cleaned_data.get("since"), zone),
            "before": _after(self.cleaned_data.get("until"), zone),
        }


def _midnight(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time.min, tzinfo=zone)


def _begin(day: date | None, zone: ZoneInfo) -> datetime | None:
    """Return the moment a day begins; None also for the first day of the calendar, which may begin before it in UTC."""
    return _midnight(day, zone) if day is not None and day > date.min else None


def _after(day: date | None, zone: ZoneInfo) -> datetime | None:
    """Return the moment a day is over; None also for the last day of the calendar."""
    return _midnight(day + timedelta(days=1), zone) if day is not None and day < date.max else None
