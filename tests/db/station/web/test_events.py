"""Events: one line of time, in words, narrowed as asked."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from station.models import AuditEntry, LogEntry
from station.services import event_log, fault_memory
from tests.db.station.web.conftest import AT


def page(browser: Client, query: str = "", language: str = "en") -> str:
    browser.cookies["django_language"] = language
    answer = browser.get(f"/events{query}")
    assert answer.status_code == 200
    text = answer.content.decode().replace("\N{NO-BREAK SPACE}", " ")
    return re.sub(r"\s+", " ", text[text.index('id="events"') :])


@pytest.fixture(autouse=True)
def happened(browser: Client) -> None:
    """The sign-in of the browser stands in the log, too."""
    LogEntry.objects.all().delete()
    AuditEntry.objects.all().delete()
    event_log.begin("fault.GroundFailure", at=AT, connector_id=2)
    event_log.begin("backend.offline", at=AT + timedelta(hours=1), reason="connection_refused")
    event_log.end("backend.offline", at=AT + timedelta(hours=2))
    AuditEntry.objects.create(
        at=AT + timedelta(hours=3),
        origin="web",
        actor="admin",
        command="StartSession",
        data={"id_tag": "04A2…", "connector_id": 1},
        outcome="rejected",
        reason="no_session",
    )


def test_what_happened_is_told_in_words_newest_first(browser: Client) -> None:
    text = page(browser)

    order = [
        "Start charging for card 04A2…",
        "No connection to the server: The server refuses the connection.",
        "The residual-current device has tripped",
    ]
    places = [text.index(each) for each in order]
    assert places == sorted(places)
    assert "admin (Web interface)" in text
    assert "refused: There is no charging session." in text
    assert "over since 15:00" in text
    assert ">lasts<" in text
    assert "GroundFailure" not in text
    assert "{" not in text


def test_the_same_in_german(browser: Client) -> None:
    text = page(browser, language="de")

    assert "Laden für Karte 04A2… starten" in text
    assert "vorbei seit 15:00" in text
    assert ">dauert an<" in text


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("?kind=fault", 1),
        ("?kind=event", 1),
        ("?kind=command", 1),
        ("?since=2026-11-21", 0),
        ("?until=2026-11-20", 3),
        ("?kind=nonsense&since=x", 3),
        ("?since=0001-01-01&until=9999-12-31", 3),
        ("?page=99", 3),
    ],
)
def test_it_is_narrowed_as_asked(browser: Client, query: str, lines: int) -> None:
    assert page(browser, query).count('data-label="By whom"') == lines


def test_thousands_of_entries_are_paged_and_cost_no_query_each(browser: Client) -> None:
    LogEntry.objects.bulk_create(
        [
            LogEntry(code="backend.offline", data={"reason": "timeout"}, at=AT + timedelta(seconds=i))
            for i in range(3000)
        ]
    )

    with CaptureQueriesContext(connection) as few:
        text = page(browser, "?page=3")

    assert "Page 3 of 101" in text
    assert len(few) < 30


def test_what_was_changed_for_the_display_is_said_in_words(browser: Client) -> None:
    browser.post("/display/branding", {"display-branding": "neutral", "hw-connectors-2-evseLabel": "B7"})
    browser.post("/display/branding", {"price-1-amount": "0.49", "price-1-currency": "EUR", "price-1-unit": "kWh"})

    text = re.sub(r"<[^>]+>|\s+", " ", page(browser, "?page_of=branding"))
    text = re.sub(r" +", " ", text)

    assert "Branding – Branding: Vendor → Neutral" in text
    assert "Branding – Charging point 2: Charging point number: – → B7" in text
    assert "Branding – Charging point 1: Ad-hoc price: – → 0.49" in text
    assert "{" not in text
    assert "/display/" not in text.partition("<form")[0]


def test_every_page_that_events_are_asked_of_has_a_name(browser: Client) -> None:
    choices = browser.get("/events").content.decode().partition('name="page_of"')[2].partition("</select>")[0]

    assert re.findall(r"<option[^>]*>\s*</option>", choices) == []


def memory(browser: Client, language: str = "en") -> str:
    browser.cookies["django_language"] = language
    text = browser.get("/events").content.decode().replace("\N{NO-BREAK SPACE}", " ")
    return re.sub(r"\s+", " ", text[text.index('id="fault-memory"') : text.index('id="events"')])


def test_the_fault_memory_says_how_often_since_when_until_when_why_and_what_to_do(browser: Client) -> None:
    fault_memory.begin(1, ["GroundFailure"], at=AT)
    fault_memory.end(1, ["GroundFailure"], at=AT + timedelta(minutes=5))
    fault_memory.begin(1, ["GroundFailure"], at=AT + timedelta(hours=1))
    fault_memory.begin(0, ["WeakSignal"], at=AT)
    fault_memory.end(0, ["WeakSignal"], at=AT + timedelta(minutes=1))

    text = memory(browser)

    assert text.index("The residual-current device has tripped") < text.index("Poor mobile network reception")
    assert "A residual current flows" in text
    assert "See whether the residual-current device stays on" in text
    assert "Unplug the vehicle, then switch the residual-current device on again." in text
    assert "blinks red 4 times" in text
    assert 'data-label="Count">2<' in text
    assert "lasts" in text
    german = memory(browser, "de")
    assert "Fehlerspeicher" in german
    assert "Es fließt ein Fehlerstrom" in german
    assert "blinkt 4-mal rot" in german
    # Whoever leafs has seen it.
    assert 'id="fault-memory"' not in browser.get("/events?kind=command").content.decode()


def test_the_fault_memory_leaves_as_a_table(browser: Client) -> None:
    fault_memory.begin(2, ["EVSECommunicationError"], at=AT)

    answer = browser.get("/events/faults.csv")

    assert answer["Content-Type"].startswith("text/csv")
    header, line = answer.content.decode("utf-8-sig").splitlines()
    assert header.startswith("Charging point,Fault,Error code,Count")
    assert line.startswith("2,Error communicating with the EVSE controller,OtherError / EVSECommunicationError,1,")


def test_a_fault_that_lasts_counts_once_and_a_clock_set_back_makes_no_end_before_its_begin(db: None) -> None:
    fault_memory.begin(1, ["GroundFailure"], at=AT)
    fault_memory.begin(1, ["GroundFailure"], at=AT + timedelta(minutes=1))
    fault_memory.end(1, ["GroundFailure"], at=AT - timedelta(days=1))

    (entry,) = fault_memory.kept()
    assert (entry.count, entry.since, entry.until) == (1, AT, AT)


def test_a_fault_that_a_newer_version_met_is_shown_by_its_code(browser: Client) -> None:
    fault_memory.begin(1, ["MoonPhaseFailure"], at=AT)

    assert "MoonPhaseFailure" in memory(browser)
