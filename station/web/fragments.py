"""The parts of a page that the live socket renews, as HTML in the reader's language."""

from collections.abc import Iterator
from typing import Any

from django.template.loader import render_to_string
from django.utils import translation

from station.domain.roles import Role
from station.web import access, banners, cards, facts, overall, refusals, tables
from station.web.present import Present

DASHBOARD, CONNECTORS, STATUS, OTHER = "dashboard", "connectors", "status", "other"


def render_page(page: str, present: Present, role: Role, *, language: str) -> dict[str, str]:
    """Return the live parts of a page by their id; of a page that the reader may not open only those of its frame."""
    with translation.override(language):
        return {name: render_to_string(template, context) for name, template, context in _parts(page, present, role)}


def _parts(page: str, present: Present, role: Role) -> Iterator[tuple[str, str, dict[str, Any]]]:
    state = overall.look(present, role)
    yield "overall", "components/overall.html", {"overall": state}
    # Changes with every round, so that the page hears from the station also while nothing happens.
    yield "data-at", "components/data_at.html", {"data_at": present.local_time}
    yield "vendor-access", "components/vendor_access.html", {"vendor_access": banners.vendor_access(role)}
    if not access.may(role, page):
        return
    if page == STATUS:
        yield "overall-list", "components/overall_list.html", {"overall": state}
    elif page == DASHBOARD:
        for connection in facts.connections(present)[1:]:
            yield connection.id, "components/connection.html", {"connection": connection}
        yield "refusal", "components/refusal.html", {"refusal": refusals.latest(present)}
        yield "facts", "components/facts.html", {"facts": facts.about(present)}
        for number in present.connector_numbers:
            card = cards.for_connector(number, present, role)
            for part in ("live", "limits", "actions"):
                yield f"{card.id}-{part}", f"components/point_{part}.html", {"card": card}
    elif page == CONNECTORS:
        for table in tables.all_tables(present):
            yield table.id, "components/table.html", {"table": table}
