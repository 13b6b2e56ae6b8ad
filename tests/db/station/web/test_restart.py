"""Restart the daemon, reboot the system: what is said before, and what stands in the way."""

from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from station import clock
from station.domain.commands import Reset
from station.domain.file_jobs import Kind, Step
from station.host.dbus.bus import ServiceAbsent
from station.host.ports import Inhibitor
from station.models import FileJob
from station.web.pages import health, system
from tests.db.station.web.conftest import Door, Parts
from whitelist.models import Card

REBOOT, RESTART = "/system/reboot", "/system/restart"


class FakePower:
    def __init__(self) -> None:
        self.found: tuple[Inhibitor, ...] = ()
        self.is_absent = False

    def inhibitors(self) -> tuple[Inhibitor, ...]:
        if self.is_absent:
            raise ServiceAbsent("org.freedesktop.login1")
        return self.found


@pytest.fixture
def power(monkeypatch: pytest.MonkeyPatch) -> FakePower:
    fake = FakePower()

    class FakeHost:
        power = fake

    monkeypatch.setattr(system, "for_settings", FakeHost)
    return fake


def page(answer: Any) -> str:
    text: str = answer.content.decode()
    return text


def delete_a_card() -> None:
    Card.objects.create(
        uid="04A2B3C4", key="04a2b3c4", authorization="Accepted", changed_at=clock.now(), deleted_at=clock.now()
    )


def test_a_reboot_says_what_becomes_of_deleted_cards(browser: Client, parts: Parts) -> None:
    assert "No entry is deleted." in page(browser.get(REBOOT))

    delete_a_card()

    assert "1 deleted entry is removed for good" in page(browser.get(REBOOT))
    german = page(browser.get(REBOOT, headers={"Accept-Language": "de"}))
    assert "1 gelöschter Eintrag wird endgültig entfernt" in german


def test_a_program_that_does_not_want_the_reboot_is_named_and_respected(
    browser: Client, parts: Parts, door: Door, power: FakePower
) -> None:
    power.found = (Inhibitor(who="apt", why="packages are being installed"),)

    assert "apt: packages are being installed" in page(browser.get(REBOOT))
    answer = browser.post(REBOOT)

    assert answer.status_code == 409
    assert "The system was not restarted." in page(answer)
    assert door.commands == []

    power.found = ()
    browser.post(REBOOT)
    assert door.commands == [Reset(hard=True, reason="Reboot")]


def test_nobody_restarts_the_computer_while_a_new_version_is_being_written(
    browser: Client, parts: Parts, door: Door, power: FakePower
) -> None:
    job = FileJob.objects.create(
        kind=Kind.LOCAL_UPDATE, step=Step.INSTALLING, request={}, data={}, created_at=clock.now(), due_at=clock.now()
    )

    assert "The new version is being written." in page(browser.get(REBOOT))
    assert browser.post(REBOOT).status_code == 409
    assert door.commands == []

    job.finished_at = clock.now()
    job.save()
    browser.post(REBOOT)
    assert door.commands == [Reset(hard=True, reason="Reboot")]


def test_without_logind_the_page_says_so_instead_of_offering_a_button(
    browser: Client, parts: Parts, door: Door, power: FakePower
) -> None:
    power.is_absent = True

    shown = page(browser.get(REBOOT, headers={"Accept-Language": "de"}))

    assert 'data-action="reboot"' not in shown
    assert "login läuft auf diesem Rechner nicht." in shown
    assert browser.post(REBOOT).status_code == 409
    assert door.commands == []


@pytest.mark.parametrize("path", [REBOOT, RESTART])
def test_the_page_waits_for_another_run_of_the_station(browser: Client, parts: Parts, door: Door, path: str) -> None:
    shown = page(browser.post(path))

    assert f'data-run="{health.run()}"' in shown
    assert "<noscript><meta http-equiv" in shown


def test_a_restart_of_the_daemon_ends_no_session(browser: Client, parts: Parts, door: Door) -> None:
    browser.post(RESTART)

    assert door.commands == [replace(Reset(hard=False), stop_sessions=False)]
