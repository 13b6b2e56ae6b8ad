"""The driver's display: what it says in every state, that it is open to this computer only, and never personal."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import DatabaseError
from django.test import Client

from station import clock
from station.domain.commands import Origin
from station.domain.snapshot import (
    FinishedSessionSnapshot,
    PointSnapshot,
    RefusalSnapshot,
    ReservationSnapshot,
    WaitingCardSnapshot,
)
from station.services import branding, configuration
from tests.db.station.web.conftest import Parts, charging, point
from tests.unit.station.domain.test_png import header, picture

PORT = "8700"
CARD = "04A2B3C4"


class Kiosk(Client):
    """Comes to the display's port; Django's client sets its own with each request."""

    def generic(self, *args: Any, **extra: Any) -> Any:
        return super().generic(*args, **({"SERVER_PORT": PORT} | extra))


@pytest.fixture
def kiosk(db: None, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("STATION_DISPLAY_PORT", PORT)
    configure("/display/language", "en")
    return Kiosk(HTTP_HOST=f"127.0.0.1:{PORT}")


def configure(name: str, value: str) -> None:
    configuration.change({name: value}, origin=Origin.LOCAL, actor="test", at=clock.now())


def screen(kiosk: Client, address: str = "/state") -> str:
    answer = kiosk.get(address)
    assert answer.status_code == 200
    return re.sub(r"\s+", " ", answer.content.decode().replace("\N{NO-BREAK SPACE}", " "))


def every_state() -> Iterator[tuple[str, PointSnapshot, str, str]]:
    now = clock.now()
    ended = FinishedSessionSnapshot(
        id=7, id_tag=CARD, started_at=now - timedelta(minutes=84), ended_at=now, energy_wh=18_240, reason="Local"
    )
    refused = RefusalSnapshot(at=now, id_tag=CARD, reason="tag_refused", because="backend_expired")
    reserved = ReservationSnapshot(reservation_id=1, id_tag=CARD, expires_at=now)
    waiting = WaitingCardSnapshot(id_tag=CARD)
    yield "free", point(1, phase="available"), "Free", "Plug in the cable, then hold your card"
    yield "card", point(1, phase="authorized", waiting_card=waiting), "Card accepted", "Now plug in"
    yield "cable", point(1, phase="plugged", status="Preparing"), "Cable plugged in", "Now hold your card"
    yield "late", point(1, phase="lapsed", status="Finishing"), "Time is up", "plug it in again"
    yield "charging", charging(1, phase="charging"), "Charging", "18.24 kWh"
    yield "full", charging(1, phase="suspended_ev", status="SuspendedEV"), "Vehicle pauses", "it may be full"
    yield "pause", charging(1, phase="suspended_evse", status="SuspendedEVSE"), "Pause", "goes on by itself"
    yield "end", point(1, phase="finishing", status="Finishing", last_session=ended), "Finished", "18.240 kWh"
    yield "gone", point(1, phase="available", last_session=ended), "Free", "Last session: 18.240 kWh"
    yield "refused", point(1, phase="available", last_refusal=refused), "Card refused", "The card has expired."
    yield "reserved", point(1, phase="available", status="Reserved", reservation=reserved), "Reserved", "Until"
    yield "off", point(1, phase="available", status="Unavailable"), "Out of order", "another charging point"
    yield "fault", point(1, status="Faulted", faults=("GroundFailure",)), "Fault", "Unplug the cable."


def test_a_silent_meter_shows_no_power(kiosk: Client, parts: Parts) -> None:
    parts.show(charging(1), charging(2, status="Faulted", faults=("PowerMeterFailure",)))

    assert screen(kiosk).count("10.88 kW") == 1


@pytest.mark.parametrize("case", list(every_state()), ids=lambda case: case[0])
def test_the_display_says_the_state_and_what_to_do_and_nothing_of_the_card(kiosk: Client, parts: Parts, case: Any):
    _, shown, title, text = case
    # The moment of the collection of tests is not that of the test.
    if shown.last_refusal:
        shown = replace(shown, last_refusal=replace(shown.last_refusal, at=clock.now()))
    if shown.last_session:
        shown = replace(shown, last_session=replace(shown.last_session, ended_at=clock.now()))
    parts.show(shown)

    html = screen(kiosk)

    assert f'display-state">{title}<' in html
    assert text in html
    assert CARD[:4] not in html


@pytest.mark.parametrize(
    ("language", "source", "limit_ma", "shown"),
    [
        ("en", "station_mains", 16_000, "At most 16 A: shared with the other charging points"),
        ("de", "grid_operator", 6_000, "Höchstens 6 A: vom Netzbetreiber reduziert"),
        ("de", "energy_manager", 0, "Grund: Energiemanagement des Standorts"),
    ],
)
def test_a_driver_reads_why_the_car_gets_less(
    kiosk: Client, parts: Parts, *, language: str, source: str, limit_ma: int, shown: str
):
    configure("/display/language", language)
    limited = charging(1, limit_ma=limit_ma, limit_source=source, limits={"rating": 32_000, source: limit_ma})
    parts.show(replace(limited, phase="charging" if limit_ma else "suspended_evse"))

    assert shown in screen(kiosk)


def test_at_the_rated_current_nothing_is_said_of_a_limit(kiosk: Client, parts: Parts):
    parts.show(charging(1, phase="charging", limit_ma=32_000, limit_source="cable", limits={"rating": 32_000}))

    assert "At most" not in screen(kiosk)


def test_a_refusal_and_a_result_are_not_shown_for_ever(kiosk: Client, parts: Parts):
    long_ago = clock.now() - timedelta(minutes=10)
    refused = RefusalSnapshot(at=long_ago, id_tag=CARD, reason="tag_refused")
    ended = FinishedSessionSnapshot(
        id=7, id_tag=CARD, started_at=long_ago, ended_at=long_ago, energy_wh=18_240, reason="Local"
    )
    parts.show(point(1, phase="available", last_refusal=refused, last_session=ended))

    html = screen(kiosk)

    assert "Card refused" not in html
    assert "Last session" not in html


def test_both_languages_take_turns_unless_one_is_set(kiosk: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch):
    parts.show(point(1, phase="available"))
    configure("/display/language", "both")
    now = clock.now()
    seen = []
    for seconds in range(13):
        monkeypatch.setattr(clock, "now", lambda seconds=seconds: now + timedelta(seconds=seconds))
        parts.hardware = replace(parts.hardware, at=clock.now()) if parts.hardware else None
        seen.append(re.findall(r'display-state">(\w+)<', screen(kiosk))[0])

    assert {"Frei", "Free"} == set(seen)
    assert sum(before != after for before, after in pairwise(seen)) == 2

    configure("/display/language", "de")
    assert "Frei" in screen(kiosk)


def test_what_has_not_changed_is_not_drawn_again(kiosk: Client, parts: Parts):
    parts.show(point(1, phase="available"))
    token = re.findall(r'data-token="(\w+)"', screen(kiosk))[0]

    assert kiosk.get(f"/state?seen={token}").status_code == 204

    parts.show(charging(1, phase="charging"))
    assert kiosk.get(f"/state?seen={token}").status_code == 200


def test_without_the_control_loop_the_station_is_out_of_order(kiosk: Client, parts: Parts):
    parts.hardware = None

    assert "Out of order" in screen(kiosk)


def test_it_works_without_the_backend_and_says_so(kiosk: Client, parts: Parts):
    assert parts.backend is not None
    parts.show(charging(1, phase="charging"))
    parts.backend = replace(parts.backend, connected=False)

    html = screen(kiosk)

    assert "Offline: only cards known here" in html
    assert "18.24 kWh" in html


def test_evse_id_label_hotline_price_and_payment_address_are_shown(kiosk: Client, parts: Parts):
    parts.show(point(1, phase="available"))
    for key, value in {
        "/hw/connectors/1/evseId": "DE*TEG*E100200*1",
        "/hw/connectors/1/evseLabel": "A7",
        "/Gui/Operator/Contact/phone": "+49 89 123456-0",
        "/Price/1/adhoc": '{"price":0.49,"url":"https://pay.example/1"}',
    }.items():
        configure(key, value)

    html = screen(kiosk)

    for text in ("DE*TEG*E100200*1", ">A7<", "+49 89 123456-0", "0.49 €/kWh", "<svg viewBox"):
        assert text in html
    assert "style=" not in html


def test_texts_of_people_are_text(kiosk: Client, parts: Parts):
    parts.show(point(1, phase="available"))
    configure("/hw/connectors/1/evseLabel", "<b>1</b>")
    configure("/Price/1/adhoc", '{"price":"<i>5</i>","currency":"<u>","url":"https://pay.example/1"}')

    html = screen(kiosk)

    assert "<b>1" not in html
    assert "<i>5" not in html


@pytest.mark.parametrize("price", ["NaN", "Infinity", "1e-99999999"])
def test_a_price_that_is_no_sum_of_money_does_not_take_the_screen_away(kiosk: Client, parts: Parts, price: str):
    parts.show(point(1, phase="available"))
    configure("/Price/1/adhoc", json.dumps({"price": price}))

    html = screen(kiosk)

    assert "€/kWh" in html
    assert len(html) < 20_000


def test_the_logo_stands_where_the_branding_says(kiosk: Client, parts: Parts):
    branding.store_logo("operator", picture(header()), at=clock.now(), actor="test")
    configure("/display/branding", "operator")

    address = re.findall(r'<img class="display-logo" src="([^"]+)"', screen(kiosk, "/"))[0]
    answer = kiosk.get(f"/{address}")

    assert answer["Content-Type"] == "image/png"
    assert answer.content == branding.read_logo("operator")

    configure("/display/branding", "neutral")
    assert "display-logo" not in screen(kiosk)
    assert "display-brand" not in screen(kiosk)


@pytest.mark.parametrize(
    "address", ["/login", "/sessions", "/admin/", "/healthz", "/logo/../secret.key", "/logo/other"]
)
def test_at_the_displays_port_there_is_nothing_else(kiosk: Client, parts: Parts, address: str):
    assert kiosk.get(address).status_code == 404


def test_it_only_shows(kiosk: Client, parts: Parts):
    assert kiosk.post("/").status_code == 405


@pytest.mark.parametrize("host", ["evil.example:8700", "192.168.1.7:8700", "localhost.evil.example"])
def test_a_foreign_name_for_this_computer_is_refused(kiosk: Client, parts: Parts, host: str):
    assert kiosk.get("/state", HTTP_HOST=host).status_code == 400


def test_other_ports_have_no_display(kiosk: Client, parts: Parts):
    assert kiosk.get("/state", SERVER_PORT="8080", HTTP_HOST="localhost").status_code == 404


def test_it_stays_plain_beside_https(kiosk: Client, parts: Parts, settings: Any):
    settings.SERVES_HTTPS = True
    parts.show(point(1, phase="available"))

    assert kiosk.get("/").status_code == 200


def test_the_display_leads_phones_to_the_page_of_the_point_where_the_operator_wants_it(
    kiosk: Client, parts: Parts
) -> None:
    parts.show(point(1, phase="available"), point(2, phase="available"))
    assert "This page on your phone" not in screen(kiosk)

    configure("/display/phoneAddress", "https://192.168.1.20")

    assert screen(kiosk).count("This page on your phone") == 2


@pytest.mark.parametrize("address", ["/", "/state"])
def test_a_database_that_is_replaced_under_the_display_is_one_moment(
    kiosk: Client, monkeypatch: pytest.MonkeyPatch, address: str
):
    def replaced(*_arguments: object) -> None:
        raise DatabaseError("file is not a database")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr("station.web.driver_display.look", replaced)
        answer = kiosk.get(address)

    said = answer.content.decode()
    assert answer.status_code == 503
    assert answer["Retry-After"] == "3"
    assert '<meta http-equiv="refresh" content="3">' in said
    assert "Einen Moment, bitte." in said
    assert "One moment, please." in said
    assert kiosk.get(address).status_code == 200
