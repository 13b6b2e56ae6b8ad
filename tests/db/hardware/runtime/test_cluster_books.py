"""What a master writes down of stations that ask it again and again."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest
from django.db import connections

from hardware.runtime.cluster.books import REFUSED_CODE, Books
from hardware.runtime.cluster.leading import Leading
from hardware.runtime.records import RecordStore
from loadmgmt.cluster.failures import Reason
from loadmgmt.cluster.leader_link import LeaderLink
from loadmgmt.cluster.registration import MAX_STATIONS, Registration, Station
from loadmgmt.cluster.server import ClusterServer
from station.domain.units import MilliAmpere
from station.models import LogEntry
from tests.fakes import InlineDatabase
from tests.unit.loadmgmt.cluster.test_registration import REGISTRATION, WHO

OWN = Station(station="WB-0001", name="", points=(1,), rating=MilliAmpere(32_000), fallback=MilliAmpere(6_000))
OTHER_PASSWORD = replace(REGISTRATION, password_hash="cd" * 32)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data")]


class Link:
    """Answers nobody, and remembers whom it should have told what."""

    malformed = 0

    def __init__(self) -> None:
        self.answers: list[Reason | None] = []

    async def admit(self, _registration: Registration) -> None:
        self.answers.append(None)

    async def refuse(self, _registration: Registration, reason: Reason) -> None:
        self.answers.append(reason)


class NoReport:
    def set_faults(self, _source: str, _codes: frozenset[object], *, info: str = "") -> None:
        raise AssertionError


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def books(link: Link, monkeypatch: pytest.MonkeyPatch) -> Books:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    records = RecordStore(cast("Any", InlineDatabase(latency_s=0.0)), cast("Any", NoReport()))
    leading = Leading(OWN, (), epoch="e", predecessor=None, began_s=0.0)
    return Books(records, leading, cast("LeaderLink", link), cast("ClusterServer", None))


def judge(books: Books, *registrations: Registration) -> None:
    connection = connections["default"]

    async def judge_all() -> None:
        # Django keeps connections per context; this one is in the test's own transaction.
        connections["default"] = connection
        for each in registrations:
            await books._judge(each)

    asyncio.run(judge_all())


def refusals() -> list[tuple[str, str]]:
    return [(each.data["station"], each.data["reason"]) for each in LogEntry.objects.filter(code=REFUSED_CODE)]


def test_a_station_that_is_refused_every_few_seconds_stands_in_the_event_log_once(books: Books, link: Link) -> None:
    judge(books, REGISTRATION, *[OTHER_PASSWORD] * 5)

    assert link.answers == [None, *[Reason.ID_TAKEN] * 5]
    assert refusals() == [(WHO.station, "id_taken")]


def test_one_that_has_been_a_member_meanwhile_is_told_of_again(books: Books) -> None:
    judge(books, REGISTRATION, OTHER_PASSWORD, REGISTRATION, OTHER_PASSWORD)

    assert refusals() == [(WHO.station, "id_taken")] * 2


def test_strangers_with_ever_new_names_do_not_fill_the_event_log(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadmgmt.cluster.members._fits", lambda _who: False)
    named = [replace(REGISTRATION, who=replace(WHO, station=f"S{number}")) for number in range(MAX_STATIONS + 20)]

    judge(books, *named)

    assert len(refusals()) == MAX_STATIONS
