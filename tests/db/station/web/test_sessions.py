"""Sessions: the list narrows as asked, the file opens in a spreadsheet program, the sheet tells everything."""

import csv
import io
import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from station.domain.commands import Origin
from station.domain.facts import FactKind
from station.domain.roles import Role
from station.models import ChargingSession, OutboxMessage
from station.models.backend import OutboxStatus
from station.services import accounts
from tests.db.station.web.conftest import AT, PASSWORD

pytestmark = pytest.mark.django_db


def made(number: int = 1, *, begun_at: datetime = AT, hours: float | None = 2.0, **values: Any) -> ChargingSession:
    ended: dict[str, Any] = {}
    if hours is not None:
        ended = {
            "stopped_at": begun_at + timedelta(hours=hours),
            "meter_stop_wh": 22_345,
            "stop_reason": "EVDisconnected",
        }
    known = {
        "connector_id": number,
        "id_tag": "04A2B3C4",
        "started_at": begun_at,
        "meter_start_wh": 10_000,
        "meter_last_wh": 22_345,
        "meter_last_at": begun_at,
        "transaction_id": 815,
        "origin": "reader",
        "meter_serial": "19203344",
    }
    return ChargingSession.objects.create(**known | ended | values)


def told(session: ChargingSession, kind: FactKind, status: OutboxStatus, count: int = 1) -> None:
    for _ in range(count):
        OutboxMessage.objects.create(
            message_id=f"m{OutboxMessage.objects.count()}",
            kind=kind,
            fact={},
            session=session,
            at=AT,
            status=status,
        )


def text(browser: Client, address: str, language: str = "en") -> str:
    browser.cookies["django_language"] = language
    answer = browser.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode().replace("\N{NO-BREAK SPACE}", " "))


def shown(browser: Client, query: str) -> set[int]:
    return {int(number) for number in re.findall(r'data-session="(\d+)"', text(browser, f"/sessions{query}"))}


def test_a_session_stands_there_with_begin_end_energy_card_reason_number_and_delivery(browser: Client):
    session = made()
    told(session, FactKind.SESSION_ENDED, OutboxStatus.PENDING)

    english, german = text(browser, "/sessions"), text(browser, "/sessions", "de")

    for each in ("20 Nov 2026, 13:00", ">15:00<", "2:00:00", "12.35 kWh", "04A2B3C4", "815"):
        assert each in english
    assert "Unplugged at the vehicle" in english
    assert ">Waiting<" in english
    assert "12,35 kWh" in german or "12,34 kWh" in german
    assert "Am Fahrzeug abgezogen" in german
    assert ">Wartet<" in german


def test_the_list_is_narrowed_by_point_state_period_card_and_delivery(browser: Client):
    first = made(1, id_tag="AAAA")
    second = made(2, begun_at=AT + timedelta(days=1), id_tag="BBBB")
    running = made(1, begun_at=AT + timedelta(days=2), hours=None, id_tag="ABBA")
    told(first, FactKind.SESSION_BEGAN, OutboxStatus.DELIVERED)
    told(second, FactKind.SESSION_BEGAN, OutboxStatus.SET_ASIDE)
    told(second, FactKind.SESSION_ENDED, OutboxStatus.PENDING)
    told(running, FactKind.SESSION_BEGAN, OutboxStatus.SENT)

    assert shown(browser, "") == {first.pk, second.pk, running.pk}
    assert shown(browser, "?point=2") == {second.pk}
    assert shown(browser, "?state=running") == {running.pk}
    assert shown(browser, "?state=ended") == {first.pk, second.pk}
    assert shown(browser, "?since=2026-11-21&until=2026-11-21") == {second.pk}
    assert shown(browser, "?card=a") == {first.pk, running.pk}
    assert shown(browser, "?delivery=sent") == {first.pk}
    assert shown(browser, "?delivery=set_aside") == {second.pk}
    assert shown(browser, "?delivery=waiting") == {running.pk}


def test_a_session_that_runs_is_not_called_complete_at_the_backend(browser: Client):
    session = made(hours=None)
    told(session, FactKind.SESSION_BEGAN, OutboxStatus.DELIVERED)

    assert ">Complete so far<" in text(browser, "/sessions")
    assert ">Bisher vollständig<" in text(browser, "/sessions", "de")


def test_a_day_begins_at_midnight_of_the_stations_zone(browser: Client):
    before = made(begun_at=datetime.fromisoformat("2026-11-20T22:59:59+00:00"))
    after = made(2, begun_at=datetime.fromisoformat("2026-11-20T23:00:00+00:00"))

    assert shown(browser, "?until=2026-11-20") == {before.pk}
    assert shown(browser, "?since=2026-11-21") == {after.pk}


@pytest.mark.parametrize(
    "query",
    [
        "?point=7",
        "?point=x",
        "?since=gestern",
        "?state=%00",
        "?page=999",
        "?page=-1",
        "?until=9999-12-31",
        "?since=0001-01-01",
    ],
)
def test_what_cannot_be_understood_narrows_nothing_and_is_named(browser: Client, query: str):
    session = made()

    assert shown(browser, query) == {session.pk}


def test_a_period_that_ends_before_it_begins_is_refused_beside_the_field(browser: Client):
    page = text(browser, "/sessions?since=2026-11-21&until=2026-11-20")

    assert "The last day is before the first." in page


def test_two_hundred_sessions_are_paged_and_cost_no_query_each(browser: Client):
    for index in range(200):
        made(begun_at=AT + timedelta(hours=index))

    with CaptureQueriesContext(connection) as few:
        page = text(browser, "/sessions?point=1&page=2")

    assert "Page 2 of 10" in page
    assert "?point=1&amp;page=3" in page
    assert page.count("data-session=") == 20
    assert "200 sessions · 2,469.00 kWh" in page
    assert len(few) < 30


def test_a_session_says_what_has_limited_it_and_for_how_long(browser: Client):
    session = made(limited_by={"charging_profile": 45, "station_mains": 725, "energy_manager": 3_660})

    for language, limits in (
        (
            "en",
            (
                "Energy manager (Modbus) 1 h 1 min, Mains limit of the station 12 min, "
                "Charging profile of the backend 45 s"
            ),
        ),
        ("de", "Energiemanager (Modbus) 1 h 1 min, Netzanschluss der Station 12 min, Ladeprofil des Backends 45 s"),
    ):
        assert limits in text(browser, f"/sessions/{session.pk}", language)
        assert limits in text(browser, "/sessions.csv", language)


def test_the_file_opens_in_the_spreadsheet_program_of_the_language(browser: Client):
    made(id_tag="=1+1")

    browser.cookies["django_language"] = "de"
    german = browser.get("/sessions.csv")
    browser.cookies["django_language"] = "en"
    english = browser.get("/sessions.csv")

    assert german["Content-Disposition"].startswith('attachment; filename="sessions-100002440-')
    rows = list(csv.reader(io.StringIO(german.content.decode("utf-8-sig")), delimiter=";"))
    assert rows[0][5] == "Energie (kWh)"
    assert rows[1][5] == "12,345"
    assert rows[1][2] == "2026-11-20 13:00:00"
    assert rows[1][8] == "'=1+1"
    rows = list(csv.reader(io.StringIO(english.content.decode("utf-8-sig"))))
    assert rows[1][5:8] == ["12.345", "10000", "22345"]


def test_one_session_is_told_in_full_with_its_power_and_what_the_backend_knows(browser: Client):
    session = made(energy_curve=[[1800, 5000], [3600, 10_000], [7200, 12_345]])
    told(session, FactKind.SESSION_BEGAN, OutboxStatus.DELIVERED)
    told(session, FactKind.METER_SAMPLED, OutboxStatus.DELIVERED, 3)
    told(session, FactKind.SESSION_ENDED, OutboxStatus.SET_ASIDE)

    page = text(browser, f"/sessions/{session.pk}", "de")

    assert 'data-fact="meter-stop">22,345 kWh<' in page
    assert 'data-fact="meter-serial">19203344<' in page
    assert 'class="plot-line" d="M0.0,' in page
    assert "vom Backend abgelehnt und zurückgestellt" in page
    assert re.search(r">Zählerwert</td><td[^>]*>3</td>", page)
    assert browser.get("/sessions/999999").status_code == 404


def test_a_session_whose_meter_was_noted_at_its_ends_only_says_so(browser: Client):
    assert "The meter was noted at begin and end only." in text(browser, f"/sessions/{made().pk}")


def test_an_empty_station_says_what_will_appear(browser: Client):
    assert "Nothing has been charged yet." in text(browser, "/sessions")
    assert "No session matches." in text(browser, "/sessions?point=1")


def test_whoever_only_looks_sees_the_beginning_of_a_cards_number_and_cannot_ask_for_the_rest(stranger: Client):
    viewer = User.objects.create_user("visitor", password=PASSWORD)
    accounts.profile_of(viewer).note_password(at=AT, must_change=False)
    accounts.give_role(viewer, Role.VIEWER, origin=Origin.LOCAL, at=AT)
    assert stranger.post("/login", {"username": "visitor", "password": PASSWORD}).status_code == 302
    session = made(id_tag="04A2B3C4")

    assert shown(stranger, "?card=FF") == {session.pk}
    for address in ("/sessions", f"/sessions/{session.pk}", "/sessions.csv"):
        assert "04A2B3C4" not in text(stranger, address)
        assert "04A2…" in text(stranger, address)
