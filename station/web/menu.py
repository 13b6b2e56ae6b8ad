"""The menu at the left. A page becomes visible with its line here; one that does not exist is absent, not dead."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from station.domain.roles import Role
from station.host import for_settings
from station.web import access


@dataclass(frozen=True, kw_only=True)
class Page:
    """One line of the menu: the name of its URL and its label."""

    url_name: str
    label: str | Promise
    icon: str = ""
    expert: bool = False
    needs_modem: bool = False


@dataclass(frozen=True, kw_only=True)
class Section:
    """Pages under a common heading; without a heading they stand alone."""

    label: str | Promise = ""
    pages: tuple[Page, ...]


SECTIONS: tuple[Section, ...] = (
    Section(
        pages=(
            Page(url_name="dashboard", label=_("Dashboard"), icon="squares-2x2"),
            Page(url_name="sessions", label=_("Sessions"), icon="clipboard-document-list"),
            Page(url_name="events", label=_("Events"), icon="bell-alert"),
        )
    ),
    Section(
        label=_("Network"),
        pages=(
            Page(url_name="interfaces", label=_("Interfaces"), icon="globe-alt"),
            Page(url_name="mobile", label=_("Mobile"), icon="signal", needs_modem=True),
        ),
    ),
    Section(
        label=_("Communication"),
        pages=(
            Page(url_name="ocpp", label="OCPP", icon="cloud"),
            Page(url_name="modbus", label="Modbus", icon="arrows-right-left"),
            Page(url_name="load-management", label=_("Load management"), icon="scale"),
        ),
    ),
    Section(
        label=_("Station"),
        pages=(
            Page(url_name="date-time", label=_("Date/Time"), icon="clock"),
            Page(url_name="components", label=_("Components"), icon="cpu-chip"),
            Page(url_name="connectors", label=_("Connectors"), icon="bolt"),
            Page(url_name="power", label=_("Power"), icon="adjustments-horizontal"),
        ),
    ),
    Section(
        label=_("Display"),
        pages=(Page(url_name="branding", label=_("Branding"), icon="tv"),),
    ),
    Section(
        label=_("User management"),
        pages=(
            Page(url_name="authentication", label=_("Authentication"), icon="finger-print"),
            Page(url_name="users", label=_("Users"), icon="identification"),
            Page(url_name="security", label=_("Security"), icon="shield-check"),
            Page(url_name="accounts", label=_("Accounts"), icon="user-group"),
        ),
    ),
    Section(
        label=_("Software"),
        pages=(
            Page(url_name="versions", label=_("Versions"), icon="information-circle"),
            Page(url_name="update", label=_("Update"), icon="arrow-up-tray"),
            Page(url_name="log-files", label=_("Log files"), icon="document-text"),
            Page(url_name="factory", label=_("Factory settings"), icon="arrow-uturn-left"),
        ),
    ),
)
# Pages that are reached from elsewhere: the first two from components/user_menu.html.
_ELSEWHERE: Mapping[str, Promise] = {
    "profile": _("User profile"),
    "restart": _("Restart daemon"),
    "dimming": _("Dimming by the grid operator"),
}
BENCH = Section(label=_("Simulation"), pages=(Page(url_name="bench", label=_("Test bench"), icon="beaker"),))
SUPPORT = Section(label=_("Support"), pages=(Page(url_name="admin:index", label=_("Records"), icon="circle-stack"),))


def sections(role: Role, *, expert: bool) -> tuple[Section, ...]:
    """Return the menu of this station for a user: the pages that open for that role."""
    return tuple(
        Section(label=section.label, pages=pages)
        for section in (*SECTIONS, *((BENCH,) if settings.SIMULATE else ()), SUPPORT)
        if (pages := tuple(page for page in section.pages if _is_shown(page, role, expert=expert)))
    )


def label_of(url_name: str) -> str | Promise:
    """Return how a page is called, also one that this menu does not have."""
    pages = (page for section in SECTIONS for page in section.pages)
    return next((page.label for page in pages if page.url_name == url_name), _ELSEWHERE.get(url_name, ""))


def _is_shown(page: Page, role: Role, *, expert: bool) -> bool:
    if page.needs_modem and for_settings().modem.status() is None:
        return False
    return (expert or not page.expert) and access.may(role, page.url_name)
