"""`manage.py cluster`, for whoever has a shell only."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from loadmgmt.cluster import members, pairing
from station.domain.commands import Origin
from station.domain.snapshot import ClusterSnapshot, HardwareSnapshot
from station.domain.units import MilliAmpere
from station.management.commands.cluster import Command
from station.models import AuditEntry
from station.services import configuration, live
from tests.clusters import MASTER
from tests.unit.loadmgmt.cluster.test_registration import REGISTRATION, WHO

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data")]


def run(*words: str) -> str:
    out = StringIO()
    call_command("cluster", *words, stdout=out)
    return out.getvalue()


@pytest.fixture
def _master() -> None:
    configuration.change({"/cluster/role": "master"}, origin=Origin.LOCAL, actor="", at=AT)


@pytest.mark.usefixtures("_master")
def test_a_master_shows_its_code_makes_one_where_there_is_none_and_replaces_it() -> None:
    made = run("code")

    assert re.fullmatch(r"([A-Z2-7]{5}-){5}[A-Z2-7]\n", made)
    assert run("code") == made
    assert run("code", "--new") == f"{pairing.code()}\n" != made
    assert "***" in str(AuditEntry.objects.get(actor="manage.py cluster").data)


def test_a_slave_has_no_code_to_show_and_is_told_where_it_is_entered() -> None:
    with pytest.raises(CommandError, match="config set /cluster/key -"):
        run("code")


def test_a_station_is_forgotten_by_its_serial_number() -> None:
    members.adopt(REGISTRATION, own="WB-0001", at=AT)
    with pytest.raises(CommandError, match=f"stations: {WHO.station}"):
        run("forget", "WB-0404")

    assert WHO.station in run("forget", WHO.station)
    assert members.known() == ()


@pytest.mark.parametrize("words", [("forget",), ("status", "WB-0002")])
def test_what_is_incomplete_is_refused_with_an_example(words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match="cluster forget SERIAL"):
        run(*words)


def test_the_state_is_shown_whether_the_station_runs_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    members.adopt(REGISTRATION, own="WB-0001", at=AT)
    monkeypatch.setattr(live, "hardware", lambda: None)

    told = run("status")

    assert "the station is not running" in told
    assert f"registered: {WHO.station} 'Tiefgarage 2 – hinten', 2 charging point(s), since 2026-11-20 12:00 UTC" in told


def show(monkeypatch: pytest.MonkeyPatch, cluster: ClusterSnapshot) -> None:
    running = HardwareSnapshot(
        revision=1,
        at=AT,
        not_ready=(),
        status="Available",
        faults=(),
        mains_ma=MilliAmpere(32_000),
        reader_ok=True,
        points=(),
        cluster=cluster,
    )
    monkeypatch.setattr(live, "hardware", lambda: running)


def test_a_running_master_is_shown_with_its_stations(monkeypatch: pytest.MonkeyPatch) -> None:
    show(monkeypatch, MASTER)

    told = run("status")

    assert "enabled: yes, role: master, state: leading" in told
    assert all(f"station: {station.id}" in told for station in MASTER.stations)
    assert "LOST" in told


def test_the_serial_number_may_stand_behind_the_options() -> None:
    members.adopt(REGISTRATION, own="WB-0001", at=AT)

    Command(stdout=StringIO()).run_from_argv(["manage.py", "cluster", "forget", "--verbosity", "1", WHO.station])

    assert members.known() == ()


@pytest.mark.parametrize("state", ["silent", "searching", "joining"])
def test_what_a_lost_master_said_last_is_not_told_as_the_present(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    show(monkeypatch, replace(MASTER, role="slave", state=state, link_age_s=97))

    told = run("status")

    assert "master last heard 97 s ago" in told
    assert "connected" not in told
    assert "limit:" not in told


def test_a_station_that_is_heard_and_was_lent_nothing_yet_is_not_called_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    show(
        monkeypatch, replace(MASTER, stations=tuple(replace(each, lost=True, link_age_s=1) for each in MASTER.stations))
    )

    told = run("status")

    assert "LOST" not in told
    assert "connected, no grant yet, heard 1 s ago" in told
