"""Template tags of the station's pages."""

from collections.abc import Iterable

from django import template
from django.utils.safestring import SafeString
from heroicons.templatetags.heroicons import heroicon_mini, heroicon_outline

from station.web import cluster_rows as rows_of_cluster
from station.web import driver_display
from station.web.cluster_view import StationRow

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """Draw an outline icon, 24 px; it decorates a word and is silent for screen readers."""
    return SafeString(heroicon_outline(name, size=24, aria_hidden="true", **{"class": "icon"}))


@register.simple_tag
def small_icon(name: str) -> SafeString:
    """Draw a solid icon, 20 px."""
    return SafeString(heroicon_mini(name, size=20, aria_hidden="true", **{"class": "icon icon-small"}))


@register.simple_tag
def qr_code(address: str) -> SafeString:
    """Draw an address as a QR code."""
    return SafeString(driver_display.qr_code(address))


@register.simple_tag
def cluster_rows(stations: Iterable[StationRow]) -> SafeString:
    """Draw the charging points of a cluster as rows of its table."""
    return rows_of_cluster.of(stations)
