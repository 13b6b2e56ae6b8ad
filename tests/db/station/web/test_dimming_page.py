"""Load management – dimming by the grid operator: settings, state, interventions and their export."""

import csv
import io
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.test import Client

from station import clock
from station.domain.commands import Origin
from station.domain.dimming import Cause, Drawn
from station.domain.snapshot import DimmingSnapshot
from station.domain.stamps import Stamp
from station.domain.units import Watt
from station.models import AuditEntry, DimmingIntervention, LogEntry
from station.services import configuration, dimming, hardware_description, stamps
from tests.db.station.web.conftest import AT, Parts
from tests.db.station.web.test_settings import enter, page

LOAD = "/communication/load-management"
PAGE, FILE, CARD = f"{LOAD}/dimming", f"{LOAD}/dimming/interventions.csv", f"{LOAD}/dimming/card"


@pytest.fixture(autouse=True)
def wired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware_description, "has_dimming_input", lambda: True)


def stamp(seconds: float = 0.0, boot: str = "boot-1") -> Stamp:
    return Stamp(at=AT + timedelta(seconds=seconds), boot_id=boot, steady_ms=round(1_000_000 + seconds * 1000))


def intervention(begins: float = 0.0, lasts: float | None = 600.0, carried_out: float | None = 4.0) -> int:
    number = dimming.begin(power=Watt(4_200), by=Cause.CONTACT, at=stamp(begins))
    drawn = Drawn(
        greatest_w=Watt(22_000), greatest_carried_out_w=Watt(4_140), watt_ms=4_000 * 60_000, measured_ms=60_000
    )
    reached = None if carried_out is None else stamp(begins + carried_out)
    if lasts is None:
        dimming.note(number, drawn, reached)
    else:
        dimming.end(number, drawn, reached, by=Cause.CONTACT, at=stamp(begins + lasts))
    return number


def show(parts: Parts, **changes: object) -> None:
    known = DimmingSnapshot(
        enabled=True, has_input=True, power_w=Watt(4_200), active=False, cause="contact", closed=False
    )
    assert parts.hardware is not None
    parts.hardware = replace(parts.hardware, dimming=replace(known, **changes))  # type: ignore[arg-type]


def switch_on() -> None:
    configuration.change({"/dimming/enabled": "true"}, origin=Origin.LOCAL, actor="test", at=clock.now())


def rows(browser: Client, language: str = "en") -> list[list[str]]:
    answer = browser.get(FILE, headers={"Accept-Language": language})
    assert answer.status_code == 200
    text = answer.content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text), delimiter=";" if language == "de" else ","))


def test_it_is_switched_on_and_what_is_set_stands_in_the_audit_trail(browser: Client, parts: Parts) -> None:
    status, said = enter(
        browser,
        PAGE,
        **{
            "dimming-enabled": "true",
            "dimming-powerW": "5000",
            "dimming-activeWhen": "open",
            "dimming-whenSilent": "inactive",
        },
    )

    assert status == 200
    assert "Saved." in said
    assert dimming.settings().power == 5_000
    assert AuditEntry.objects.filter(command="ChangeConfiguration", data__has_key="/dimming/enabled").exists()
    events = page(browser, "/events")
    assert "Dimming by the grid operator – Power during an intervention" in events
    assert "5000 W" in events
    assert "/dimming/" not in events


def test_without_an_input_it_is_refused_with_the_way_to_one(
    browser: Client, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardware_description, "has_dimming_input", lambda: False)

    status, said = enter(browser, PAGE, **{"dimming-enabled": "true"})

    assert status == 422
    assert "hardware.json" in said
    assert not configuration.get_bool("/dimming/enabled")


def test_less_than_one_car_needs_is_refused_beside_the_field(browser: Client, parts: Parts) -> None:
    status, said = enter(browser, PAGE, **{"dimming-powerW": "0"})

    assert status == 422
    assert "1380" in said

    status, said = enter(browser, PAGE, **{"dimming-powerW": "3000"})

    assert status == 422
    assert "4140" in said


@pytest.mark.parametrize(
    ("changes", "tone", "words"),
    [
        ({}, "good", ["Ready", "open"]),
        (
            {"active": True, "closed": True, "since": AT, "drawn_w": Watt(4_100), "carried_out_at": AT},
            "warning",
            ["Limited to 4.2", "Carried out after 0 s", "4.1"],
        ),
        ({"active": True, "cause": "silent", "closed": None}, "bad", ["does not answer", "Counts as active"]),
        ({"active": False, "cause": "silent", "closed": None}, "bad", ["Counts as inactive"]),
        ({"has_input": False, "cause": "silent", "closed": None}, "bad", ["hardware.json"]),
    ],
)
def test_the_card_says_what_holds_and_why(
    browser: Client, parts: Parts, changes: dict[str, object], tone: str, words: list[str]
) -> None:
    switch_on()
    show(parts, **changes)

    card = browser.get(CARD).content.decode()

    assert f'data-tone="{tone}"' in card
    assert all(word in card for word in words)
    assert 'id="dimming-state"' in page(browser, LOAD)


def test_an_input_that_nobody_obeys_stands_among_what_needs_attention(browser: Client, parts: Parts) -> None:
    show(parts, enabled=False, cause="settings", closed=False)
    assert "does not obey the control box" not in page(browser, "/status")

    show(parts, enabled=False, cause="settings", closed=True)

    assert "does not obey the control box" in page(browser, "/status")


def test_every_intervention_is_listed_with_its_proof(browser: Client, parts: Parts) -> None:
    intervention()
    intervention(begins=1_000, lasts=None, carried_out=None)

    text = page(browser, PAGE)

    assert "2 interventions" in text
    assert "after 4 s" in text
    assert "running" in text


def test_the_page_and_the_file_tell_the_same_seconds(browser: Client, parts: Parts) -> None:
    intervention(lasts=62.7, carried_out=1.6)

    text, file = page(browser, PAGE), rows(browser)

    assert "after 2 s" in text
    assert "0:01:03" in text
    assert [file[1][3], file[1][8]] == ["63", "2"]
    # In autumn an hour comes twice: only the offset tells them apart.
    assert datetime.fromisoformat(file[1][1]).utcoffset() is not None


def test_the_file_opens_in_both_languages_and_keeps_the_proof(browser: Client, parts: Parts) -> None:
    intervention()
    intervention(begins=1_000, lasts=200, carried_out=190)
    intervention(begins=2_000, lasts=400, carried_out=None)
    intervention(begins=3_000, lasts=None, carried_out=None)

    heading, running, missed, late, good = rows(browser)
    german = rows(browser, "de")

    assert len({len(row) for row in (heading, running, missed, late, good)}) == 1
    found = dict(zip(heading, good, strict=True))
    assert (found["Duration (s)"], found["Carried out after (s)"], found["Mean power (W)"]) == ("600", "4", "4000")
    assert [row[heading.index("Carried out within 3 minutes")] for row in (good, late, missed, running)] == [
        "yes",
        "no",
        "no",
        "",
    ]
    assert "Vorgegebene Leistung (W)" in german[0]
    assert len(german[4]) == len(heading)


def test_what_is_two_years_old_is_deleted_and_what_runs_is_not(db: None) -> None:
    intervention()
    running = intervention(begins=-3 * 366 * 86_400, lasts=None)

    assert dimming.forget_old(AT + timedelta(days=700)) == 0
    assert dimming.forget_old(AT + timedelta(days=733)) == 1

    assert [row.pk for row in DimmingIntervention.objects.all()] == [running]


def test_the_end_is_never_before_the_begin_whatever_the_clock_says(db: None) -> None:
    number = dimming.begin(power=Watt(4_200), by=Cause.CONTACT, at=stamp())

    wrong = replace(stamp(60), at=AT - timedelta(days=3))
    dimming.end(number, Drawn(), wrong, by=Cause.CONTACT, at=wrong)

    row = DimmingIntervention.objects.get()
    assert row.ended_at == row.carried_out_at == AT + timedelta(seconds=60)
    assert LogEntry.objects.get(code="dimming.active").cleared_at == row.ended_at


def test_a_clock_that_was_wrong_is_put_right_in_what_is_kept(db: None) -> None:
    early = timedelta(days=20_000)
    made = [replace(stamp(seconds), at=AT - early + timedelta(seconds=seconds)) for seconds in (0, 5, 60)]
    number = dimming.begin(power=Watt(4_200), by=Cause.CONTACT, at=made[0])
    dimming.end(number, Drawn(), made[1], by=Cause.CONTACT, at=made[2])

    for _ in stamps.correcting(stamp(100)):
        pass

    row = DimmingIntervention.objects.get()
    assert (row.began_at, row.carried_out_at, row.ended_at) == (
        AT,
        AT + timedelta(seconds=5),
        AT + timedelta(seconds=60),
    )
