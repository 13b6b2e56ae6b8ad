"""The page behind the QR code: there where it is switched on, for everybody, one charging point, nothing personal."""

import re

import pytest
from django.test import Client

from station import clock
from station.domain.commands import Origin
from station.domain.configuration import ConfigurationRefused
from station.domain.snapshot import RefusalSnapshot
from station.services import configuration
from station.web.driver_display import PHONE_ADDRESS
from station.web.pages import phone
from station.web.request_rate import RequestRate
from tests.db.station.web.conftest import Parts, charging, point

CARD = "04A2B3C4"


@pytest.fixture(autouse=True)
def fresh_rate(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone, "RATE", RequestRate(per_address=60, in_all=600))


def switch_on(address: str = "https://192.168.1.20/") -> None:
    configuration.change({PHONE_ADDRESS: address}, origin=Origin.LOCAL, actor="test", at=clock.now())


def page(stranger: Client, number: int = 1, language: str = "en") -> str:
    answer = stranger.get(f"/p/{number}", headers={"accept-language": language})
    assert answer.status_code == 200
    assert not answer.cookies
    assert answer["Cache-Control"] == "no-store"
    return re.sub(r"\s+", " ", answer.content.decode().replace("\N{NO-BREAK SPACE}", " "))


def test_without_an_address_there_is_no_such_page(stranger: Client, parts: Parts) -> None:
    assert stranger.get("/p/1").status_code == 404


def test_a_stranger_sees_the_charging_point_in_the_language_of_the_browser(stranger: Client, parts: Parts) -> None:
    switch_on()
    parts.show(charging(1, phase="charging"), point(2, phase="available"))

    english, german = page(stranger), page(stranger, language="de-AT,de;q=0.9")

    assert "Charging" in english
    assert "18.24 kWh" in english
    assert "18,24 kWh" in german
    assert "Karte vorhalten" in german
    assert "<dt>Dauer</dt>" in german
    assert "<dt>Duration</dt>" in english
    assert 'lang="de"' in german
    assert "Plug in the cable" in page(stranger, 2)
    assert "18.24" not in page(stranger, 2)
    assert stranger.get("/p/3").status_code == 404


def test_it_says_nothing_about_who_charges_and_leads_to_no_other_page(stranger: Client, parts: Parts) -> None:
    switch_on()
    refusal = RefusalSnapshot(at=clock.now(), id_tag=CARD, reason="tag_refused", because="backend_blocked")
    for shown in (charging(1, phase="charging"), point(1, phase="available", last_refusal=refusal)):
        parts.show(shown, point(2))
        text = page(stranger)
        assert CARD[:4] not in text
        assert re.findall(r'href="(?!/static/)', text) == []
        assert "<script" not in text


def test_a_station_that_cannot_charge_says_so(stranger: Client, parts: Parts) -> None:
    switch_on()
    parts.hardware = None

    assert "Out of order" in page(stranger)


def test_it_answers_one_address_no_more_than_so_often(stranger: Client, parts: Parts) -> None:
    switch_on()
    codes = [stranger.get("/p/1").status_code for _ in range(62)]

    assert codes == [200] * 60 + [429] * 2
    assert stranger.get("/p/1", REMOTE_ADDR="192.168.1.77").status_code == 200


def test_the_rate_begins_anew_every_minute_and_holds_for_all_together() -> None:
    rate = RequestRate(per_address=2, in_all=3)

    assert [rate.allows("a", now_s=each) for each in (0.0, 1.0, 2.0, 61.0)] == [True, True, False, True]
    assert [rate.allows(each, now_s=62.0) for each in "bcd"] == [True, True, False]


@pytest.mark.parametrize("wrong", ["192.168.1.20", "ftp://host", "https://host/p", "https://me@host", "https://"])
def test_an_address_that_leads_nowhere_is_refused(db: None, wrong: str) -> None:
    with pytest.raises(ConfigurationRefused):
        switch_on(wrong)
