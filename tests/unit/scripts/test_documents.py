"""The documents that are made from the code."""

from types import ModuleType
from xml.etree import ElementTree as ET

import pytest

from scripts.documents import connector_machine, registration_machine
from scripts.documents.__main__ import outdated
from scripts.documents.authorization import Card, Situation, table
from scripts.documents.state_diagram import LayoutOutdated, Transitions, render
from station.domain.authorization import Verdict


def test_every_document_is_what_the_code_says() -> None:
    assert outdated() == [], "run python -m scripts.documents"


def test_the_table_has_every_combination_once_and_refuses_every_blocked_card_without_asking_offline() -> None:
    rows = list(table())

    assert len({(row.mode, row.situation, row.card) for row in rows}) == len(rows) == 3 * 4 * 4
    for row in rows:
        if row.card in (Card.BLOCKED, Card.EXPIRED) and row.situation is not Situation.ONLINE:
            assert row.decision.verdict is Verdict.REFUSED


@pytest.mark.parametrize("machine", [connector_machine, registration_machine])
def test_a_drawing_shows_every_state_and_every_event_that_leads_anywhere(machine: ModuleType) -> None:
    transitions: Transitions = machine.transitions()
    texts = {element.text for element in ET.fromstring(machine.render_machine()).iter()}  # noqa: S314 - made by us

    assert {state for state, _ in transitions} <= texts
    assert {event for (state, event), ends in transitions.items() if ends - {state}} <= texts


def test_a_state_that_nobody_has_placed_is_not_forgotten() -> None:
    layout = registration_machine.LAYOUT

    with pytest.raises(LayoutOutdated):
        render("", {("due", "Struck"): frozenset({"by lightning"})}, layout)


def test_no_bend_is_left_over_from_an_arrow_that_is_gone() -> None:
    for machine in (connector_machine, registration_machine):
        transitions, layout = machine.transitions(), machine.LAYOUT
        known = {*layout.places, *layout.groups}
        pairs = {(state, end) for (state, _), ends in transitions.items() for end in ends}
        for arrow in (*layout.bends, *layout.label_at, *layout.shifts):
            assert set(arrow) <= known
            assert arrow in pairs or set(arrow) & layout.groups.keys()
