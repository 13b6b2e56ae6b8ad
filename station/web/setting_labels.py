"""Every setting of every page, by its key: what people call it, where it stands, and who sees it only as an expert."""

import re
from collections.abc import Iterator, Mapping, Sequence

from django.utils.translation import gettext as _

from station.domain.adhoc_price import AdhocPrice
from station.domain.roles import Role
from station.services.identity import MASK
from station.ui import format as formats
from station.web import access, menu
from station.web.driver_display import price_text
from station.web.pages import (
    authentication,
    branding,
    date_time,
    dimming,
    load_management,
    mobile,
    modbus,
    ocpp,
    power,
    security,
    update,
)
from station.web.settings_form import Setting

PAGES: Mapping[str, Sequence[Setting]] = {
    "mobile": mobile.SETTINGS,
    "ocpp": ocpp.SETTINGS,
    "modbus": modbus.SETTINGS,
    "load-management": load_management.SETTINGS,
    "dimming": dimming.SETTINGS,
    "date-time": date_time.SETTINGS,
    "power": power.SETTINGS,
    "branding": branding.SETTINGS,
    "authentication": authentication.SETTINGS,
    "security": security.SETTINGS,
}
# A field that begins with another key's value is the field of that key, too.
_BY_KEY = {
    key: (page, setting)
    for page, settings in PAGES.items()
    for setting in settings
    for key in (setting.key, setting.shows)
    if key
}

_OF_A_POINT = re.compile(r"/(?:hw/connectors|Price)/([0-9]+)/")


def keys_of(page: str) -> list[str]:
    """Return the keys that a page sets."""
    return [setting.key for setting in PAGES[page]]


def label(key: str) -> str:
    """Return the page and the label of a key; a key of no page is its own name."""
    found = _BY_KEY.get(key)
    if found is None:
        return key
    point = _OF_A_POINT.match(key)
    of_point = f"{_('Charging point %(number)s') % {'number': point[1]}}: " if point else ""
    return f"{menu.label_of(found[0])} – {of_point}{found[1].label}"


def value(key: str, text: str | None) -> str:
    """Return a value as its page shows it."""
    if text is None or text == MASK:
        return MASK
    found = _BY_KEY.get(key)
    choices = {stored: str(said) for stored, said, _help in found[1].choices} if found else {}
    if text in choices:
        return choices[text]
    if text in {"true", "false"}:
        return _("on") if text == "true" else _("off")
    if key.endswith("/adhoc"):
        price = AdhocPrice.decode(text)
        text = ", ".join(filter(None, (price_text(price), price.url)))
    unit = found[1].unit if found else ""
    return f"{text} {unit}".strip() or formats.MISSING


def expert_only(role: Role) -> Iterator[tuple[str, list[str]]]:
    """Yield the pages that show a role more in expert mode, each with the labels of what is added."""
    for page, settings in PAGES.items():
        added = [str(setting.label) for setting in settings if setting.expert]
        if added and access.may(role, page, "POST"):
            yield str(menu.label_of(page)), added
    if access.may(role, "update-upload", "POST"):
        yield str(menu.label_of("update")), [str(update.EXPERT_PART)]


def shows_keys(role: Role) -> bool:
    """Return whether a role changes settings anywhere, below which expert mode shows the keys of OCPP."""
    return any(access.may(role, page, "POST") for page in PAGES)
