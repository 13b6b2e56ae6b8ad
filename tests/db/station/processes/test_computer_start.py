"""Deleted cards go for good when the computer starts, not when the software does."""

from typing import Any

import pytest

from station import clock, secret_key
from station.host import boot_memory
from station.models import LogEntry
from station.paths import DataDirectory
from station.processes import preparation
from station.processes.plan import Address, Plan
from station.ui import event_words
from tests.db.station.web.conftest import AT
from whitelist.models import Card

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_hash(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def plan(data: DataDirectory, settings: Any) -> Plan:
    settings.STATIC_ROOT = data.run / "static"
    secret_key.obtain(data.secret_key)
    return Plan(data=data.root, http=Address("127.0.0.1", 1), https=None)


def delete_a_card() -> None:
    Card.objects.create(uid="04A2B3C4", key="04a2b3c4", authorization="Accepted", changed_at=AT, deleted_at=AT)


def deleted_cards() -> int:
    return Card.objects.deleted().count()


def test_deleted_cards_survive_a_restart_of_the_software_and_no_reboot(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation.prepare(plan, at=AT)
    delete_a_card()

    preparation.prepare(plan, at=AT)
    assert deleted_cards() == 1

    monkeypatch.setattr(clock, "boot_id", lambda: "the next start of the computer")
    preparation.prepare(plan, at=AT)
    assert deleted_cards() == 0


def test_a_simulated_computer_starts_with_its_software(plan: Plan) -> None:
    plan = Plan(data=plan.data, http=plan.http, https=None, simulate=True)
    preparation.prepare(plan, at=AT)
    delete_a_card()

    preparation.prepare(plan, at=AT)

    assert deleted_cards() == 0


def test_a_boot_loader_whose_memory_was_torn_is_told_once_in_this_run_of_the_computer(plan: Plan) -> None:
    note = DataDirectory(plan.data).notes_of_the_computer / boot_memory.NOTE
    note.write_text("grubenv\ngood\n")

    preparation.prepare(plan, at=AT)
    preparation.prepare(plan, at=AT)

    (entry,) = LogEntry.objects.filter(code="computer.boot_memory.mended")
    assert "grubenv, good" in event_words.event(entry.code, entry.data)
