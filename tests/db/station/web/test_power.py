"""Station – Power: what is drawn from each phase of the mains, and why a point may draw no more."""

import re

from django.test import Client

from station import clock
from station.domain.commands import Origin
from station.services import configuration
from tests.db.station.web.conftest import Parts, charging, point


def page(browser: Client) -> str:
    browser.cookies["django_language"] = "en"
    return browser.get("/station/power").content.decode().replace("\N{NO-BREAK SPACE}", " ")


def drawn(html: str) -> list[str]:
    return re.findall(r'data-phase="L\d">([^<]+)<', html)


def test_the_currents_of_the_points_add_up_per_supply_phase(browser: Client, parts: Parts):
    parts.show(charging(1, currents_ma=(16_000, 0, 0)), charging(2, currents_ma=(10_500, 0, 0)))

    assert drawn(page(browser)) == ["26.50 A", "0.00 A", "0.00 A"]

    configuration.change(
        {"ConnectorPhaseRotation": "0.RST,1.RST,2.STR"}, origin=Origin.WEB, actor="admin", at=clock.now()
    )
    assert drawn(page(browser)) == ["16.00 A", "10.50 A", "0.00 A"]


def test_each_point_says_what_limits_it(browser: Client, parts: Parts):
    parts.show(charging(1), point(2))

    html = page(browser)

    assert re.search(r'data-point="1">.*Mains limit of the station.*16 A', html)
    assert re.search(r'data-point="2">.*Rated current of the charging point.*32 A', html)


def test_what_is_not_known_is_not_zero(browser: Client, parts: Parts):
    parts.hardware = None

    assert drawn(page(browser)) == ["–", "–", "–"]
