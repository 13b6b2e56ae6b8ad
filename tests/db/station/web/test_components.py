"""Station – Components: every device and how it answers; flashing says what is in the way, and what cannot be."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from station import clock
from station.domain.commands import FlashControllers, Outcome, Refusal, Status, rejected
from station.domain.flashing import Stage
from station.domain.ports import Watchdog
from station.domain.snapshot import FlashingSnapshot, LineSnapshot, PointSnapshot, ReaderSnapshot
from station.domain.units import PAUSE, MilliAmpere
from station.paths import DataDirectory
from station.services import flashing
from station.ui import format as formats
from tests.db.station.web.conftest import Door, Parts, charging, point

ADDRESS = "/station/components"
HARDWARE = {
    "connectors": [
        {
            "controller": {"driver": "phoenix_ev_cc", "port": "/dev/ttyS1", "address": number, "baudrate": 9600},
            "meter": {"driver": "eastron_sdm630", "port": "/dev/ttyS2", "address": number, "baudrate": 19200},
        }
        for number in (1, 2)
    ],
    "readers": [{"driver": "elatec_twn4", "port": "/dev/ttyS3", "connector": None}],
}


@pytest.fixture(autouse=True)
def wired(data: DataDirectory) -> None:
    data.hardware.write_text(json.dumps(HARDWARE))


@pytest.fixture
def english(browser: Client) -> Client:
    browser.cookies["django_language"] = "en"
    return browser


def rows(html: str) -> list[str]:
    return html.split("<tr data-component=")[1:]


def test_every_device_is_listed_with_its_line_and_how_it_answers(english: Client, parts: Parts):
    heard = LineSnapshot(heard_at=clock.now() - timedelta(seconds=40), errors=17)
    known = point(1)
    parts.show(replace(known, controller=replace(known.controller, ok=False, line=heard)), point(2))
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, readers=(ReaderSnapshot(connector_id=None, ok=True, line=heard),))

    first, *_, last = found = rows(english.get(ADDRESS).content.decode())

    assert len(found) == 5
    for text in (
        "EVSE controller",
        "EV-CC-AC1-M3",
        "ttyS1 · #1 · 9600 Bd",
        "does not answer",
        ">40\N{NO-BREAK SPACE}s<",
        ">17<",
    ):
        assert text in first
    for text in ("Card reader", "Station", "Elatec TWN4", ">answers<"):
        assert text in last


def test_without_the_control_loop_the_recorded_devices_are_shown(english: Client, parts: Parts):
    parts.hardware = None

    html = english.get(ADDRESS).content.decode()

    assert len(rows(html)) == 5
    assert "not known" in html
    assert "The last recorded state is shown." in html


@pytest.mark.parametrize("content", ["", "[]", '{"connectors": 5, "readers": [1]}', "{"])
def test_an_unreadable_description_is_said(english: Client, parts: Parts, data: DataDirectory, content: str):
    data.hardware.write_text(content)

    assert "No hardware is described" in english.get(ADDRESS).content.decode()


def test_flashing_is_a_command_and_names_the_session_that_is_in_the_way(english: Client, parts: Parts, door: Door):
    parts.show(point(1), charging(2))
    door.outcome = rejected(Refusal.SESSIONS_RUNNING, connectors=[2])

    html = english.post(ADDRESS).content.decode()

    assert door.commands == [FlashControllers()]
    assert "End the running charging sessions first." in html
    assert "Charging point 2: card 04A2…" in html


def test_a_controller_that_cannot_be_flashed_is_said_for_each(english: Client, parts: Parts, door: Door):
    door.outcome = Outcome(status=Status.NOT_SUPPORTED, reason=Refusal.FLASHING_NOT_SUPPORTED)

    results = english.post(ADDRESS).content.decode().partition('id="flash-results"')[2]

    assert results.count("Not supported by this controller") == 2


def with_firmware(number: int, **flashing: Any) -> PointSnapshot:
    known = point(number)
    return replace(known, controller=replace(known.controller, firmware="V1.25", shipped="V1.26"), **flashing)


def progress(html: str) -> str:
    return html.partition('id="flash-progress"')[2].partition("</div>")[0]


def test_what_comes_with_the_software_is_shown_before_it_is_written(english: Client, parts: Parts):
    parts.show(with_firmware(1), point(2))

    html = progress(english.get(ADDRESS).content.decode())

    assert "Has firmware V1.25; V1.26 comes with this software." in html
    assert html.count("Not supported by this controller") == 1


def test_an_order_that_was_taken_is_followed_on_the_page(english: Client, parts: Parts, door: Door):
    door.outcome = Outcome(status=Status.ACCEPTED, data={"connectors": [1]})

    answer = english.post(ADDRESS)

    assert (answer.status_code, answer["Location"]) == (302, ADDRESS)


def test_each_controller_has_its_progress(english: Client, parts: Parts):
    parts.show(
        with_firmware(1, flashing=FlashingSnapshot(stage=Stage.WRITING.value, percent=42)),
        with_firmware(2, flashing=FlashingSnapshot(stage=Stage.NO_ANSWER.value, percent=7)),
    )

    html = progress(english.get(f"{ADDRESS}/live").content.decode())

    assert 'value="42"' in html
    assert 'value="7"' in html
    assert "The firmware is being written." in html
    assert "The controller does not answer" in html


def test_the_result_stands_there_afterwards(english: Client, parts: Parts):
    parts.show(with_firmware(1))
    flashing.order(1, at=clock.now())
    flashing.end(1, before="V1.25", after="V1.26", at=clock.now())

    assert "before V1.25, now V1.26" in progress(english.get(ADDRESS).content.decode())
    assert flashing.pending(1) is None


def test_the_tile_says_why_nobody_can_charge(english: Client, parts: Parts):
    under_way = FlashingSnapshot(stage=Stage.WRITING.value, percent=42)
    parts.show(with_firmware(1, flashing=under_way, status="Unavailable"))

    assert "The firmware of the controller is being written: 42 %." in english.get("/").content.decode()


@pytest.mark.parametrize(
    ("watchdog", "text"),
    [
        (None, "has no watchdog: it goes on with the current it was told last"),
        (Watchdog(timeout_s=10.0, fallback=PAUSE), "ends charging by itself after 10 s"),
        (
            Watchdog(timeout_s=10.0, fallback=MilliAmpere(8_000)),
            f"goes on with {formats.ampere(8_000)} by itself after 10 s",
        ),
        (Watchdog(timeout_s=None, fallback=None), "goes on with less current by itself"),
    ],
)
def test_each_controller_is_said_to_do_what_it_does_when_the_software_fails(
    english: Client, parts: Parts, watchdog: Watchdog | None, text: str
):
    known = point(1)
    parts.show(replace(known, controller=replace(known.controller, watchdog=watchdog)), point(2))

    html = english.get(ADDRESS).content.decode()

    assert f"(EV-CC-AC1-M3): {text}" in html
