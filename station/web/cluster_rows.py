"""The rows of the table of a cluster as HTML: a template needs ten times as long for those of a hundred stations."""

from collections.abc import Iterable

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from station.web.cluster_view import PointRow, StationRow

_NOTHING = SafeString("")


def of(stations: Iterable[StationRow]) -> SafeString:
    """Return a row for each charging point; the name of its station leads to its page in the first one."""
    row = format_html(
        '<tr data-station="{{}}" data-point="{{}}"{{}}><td data-label="{}">{{}}</td><td data-label="{}">{{}}</td>'
        '<td data-label="{}">{{}}</td><td class="number" data-label="{}">{{}}</td>'
        '<td class="number" data-label="{}">{{}}</td><td class="number" data-label="{}">{{}}</td>'
        '<td data-label="{}"{{}}>{{}}</td><td class="number" data-label="{}">{{}}</td></tr>',
        _("Station"),
        _("Charging point"),
        _("State"),
        _("Demand"),
        _("Allocation"),
        _("Draw"),
        _("Link"),
        _("Fallback"),
    )
    crown = SafeString(render_to_string("components/crown.html").strip())
    return format_html_join(
        "\n",
        row,
        (
            _cells(station, point, _name(station, crown, is_first=point is station.points[0]))
            for station in stations
            for point in station.points
        ),
    )


def _cells(station: StationRow, point: PointRow, name: SafeString) -> tuple[object, ...]:
    is_lost = station.is_lost
    return (
        station.id,
        point.number,
        SafeString(" data-lost") if is_lost else _NOTHING,
        name,
        point.number,
        point.state,
        point.demand,
        point.granted,
        point.flowing,
        SafeString(' class="told"') if is_lost else _NOTHING,
        station.link,
        station.fallback,
    )


def _name(station: StationRow, crown: SafeString, *, is_first: bool) -> SafeString:
    name: str | SafeString = station.name
    if station.web and is_first:
        name = format_html('<a href="{}">{}</a>', station.web, name)
    link = _NOTHING
    if station.may_be_forgotten and is_first:
        address = reverse("load-management-forget", args=[station.id])
        link = format_html(' <a class="row-link" href="{}">{}</a>', address, _("Forget station"))
    mark = format_html("{} ", crown) if station.is_master else _NOTHING
    return format_html('<span class="station-name">{}{}</span>{}', mark, name, link)
