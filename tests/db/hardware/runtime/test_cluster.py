"""Limits of a cluster in a living station: at the fallback from its start, and again when its master is silent."""

import asyncio
from dataclasses import replace

import pytest
from django.db import DatabaseError

from hardware.runtime.cluster import service
from hardware.runtime.cluster.demand import Demands
from hardware.runtime.cluster.service import ClusterService
from station import clock
from station.domain.cluster.messages import Grant, PointReport
from station.domain.cluster.timing import LARGEST_JITTER_S, LEASE_S, RISE_AFTER_S
from station.domain.configuration import ConfigurationRefused
from station.domain.limits import LimitSource
from station.domain.units import MilliAmpere
from station.models import LogEntry
from station.services.messages import ConfigurationChanged
from tests.db.hardware.runtime.bench import ControlLoopBench, configure, in_virtual_time

SILENT, LED = LimitSource.CLUSTER_SILENT, LimitSource.CLUSTER


class NoPart:
    """Speaks with nobody: what holds must not depend on a connection."""

    has_said_goodbye = False

    async def run(self) -> None:
        await asyncio.Event().wait()

    def demand_changed(self) -> None:
        pass

    async def say_goodbye(self) -> None:
        self.has_said_goodbye = True


@pytest.fixture(autouse=True)
def part(monkeypatch: pytest.MonkeyPatch) -> NoPart:
    part = NoPart()
    monkeypatch.setattr(ClusterService, "_begin", lambda _service, _settings: part)
    return part


def limit(bench: ControlLoopBench, number: int = 1) -> tuple[int, LimitSource]:
    effective = bench.control_loop.limits.present[number].effective
    return effective.limit, effective.source


def demand(bench: ControlLoopBench) -> PointReport:
    (point,) = Demands(bench.control_loop.points, bench.control_loop.limits).take(clock.monotonic_s())
    return point


class Master:
    """Grants what a test says, as the answer to a report of this moment."""

    def __init__(self, bench: ControlLoopBench, epoch: str = "master") -> None:
        self._bench = bench
        self._epoch = epoch
        self._number = 0

    def grant(self, current_a: int, *, dimmed: bool = False) -> None:
        member = self._bench.control_loop.cluster_shares.member(clock.monotonic_s())
        report = member.report(clock.monotonic_s(), [demand(self._bench)])
        self._number += 1
        grant = Grant(
            epoch=self._epoch,
            number=self._number,
            run=report.run,
            seq=report.seq,
            valid_s=LEASE_S,
            limits={1: MilliAmpere(current_a * 1_000)},
            dimmed=frozenset({1} if dimmed else ()),
        )
        assert member.take(grant, clock.monotonic_s())
        self._bench.control_loop.limits.leases_changed()


async def switch(bench: ControlLoopBench, **items: str) -> None:
    configure({f"/cluster/{name}": value for name, value in {"key": "12345678", **items}.items()})
    await bench.control_loop.informed(ConfigurationChanged())


@in_virtual_time
async def test_switched_on_the_fallback_holds_at_once_and_off_again_nothing_does(bench: ControlLoopBench) -> None:
    await bench.charge()

    await switch(bench, enabled="true")
    assert limit(bench) == (6_000, SILENT)
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] <= 6_000)

    await switch(bench, enabled="false")
    assert limit(bench)[0] == 32_000


@in_virtual_time
async def test_before_anything_is_known_of_the_others_the_page_does_not_say_switched_off(
    bench: ControlLoopBench,
) -> None:
    assert bench.control_loop.cluster_shares.snapshot().state == "off"

    await switch(bench, enabled="true")

    assert bench.control_loop.cluster_shares.snapshot().state == "starting"


@in_virtual_time
async def test_a_share_holds_for_a_lease_and_then_at_most_the_fallback(bench: ControlLoopBench) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    Master(bench).grant(16)
    assert limit(bench) == (16_000, LED)

    await asyncio.sleep(LEASE_S - 0.5)
    assert limit(bench) == (16_000, LED)
    await asyncio.sleep(1.0)

    assert limit(bench) == (6_000, SILENT)


@in_virtual_time
async def test_who_was_lent_nothing_rises_to_the_fallback_only_when_all_others_have_fallen(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    Master(bench).grant(0)
    await bench.phase("suspended_evse")

    await asyncio.sleep(LEASE_S + RISE_AFTER_S - 1.0)
    assert limit(bench) == (0, SILENT)
    await asyncio.sleep(LARGEST_JITTER_S + 2.0)

    assert limit(bench)[0] in {0, 6_000}
    await bench.phase("charging")
    assert limit(bench) == (6_000, SILENT)


@in_virtual_time
async def test_a_session_that_goes_on_after_a_restart_draws_no_more_than_before_and_no_more_than_the_fallback(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    Master(bench).grant(16)
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] == 16_000)

    await bench.kill()
    await bench.start()
    await bench.until(lambda: bench.control_loop.limits.present)

    assert limit(bench) == (6_000, SILENT)


@in_virtual_time
async def test_a_station_asks_for_what_it_could_use_without_the_cluster(bench: ControlLoopBench) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    Master(bench).grant(10)
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] == 10_000)

    asked = demand(bench)

    assert (asked.active, asked.limit, asked.held) == (True, 32_000, 10_000)


@in_virtual_time
async def test_a_share_of_a_dimmed_cluster_names_the_grid_operator_and_changes_nothing_that_is_asked_for(
    bench: ControlLoopBench,
) -> None:
    def infos() -> list[str]:
        return [
            message["info"]
            for message in bench.channel_layer.sent
            if message["type"] == "status.changed" and message["connector_id"] == 0
        ]

    await bench.charge()
    await switch(bench, enabled="true")
    Master(bench).grant(10, dimmed=True)
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] == 10_000)

    assert limit(bench) == (10_000, LimitSource.GRID_OPERATOR)
    assert demand(bench).limit == 32_000
    await bench.until(lambda: infos()[-1] == "Dimmed by the grid operator")

    await asyncio.sleep(LEASE_S)
    assert limit(bench) == (6_000, SILENT)
    await bench.until(lambda: infos()[-1] == "")
    session = bench.control_loop.points[1].session
    assert session is not None
    assert session.limited_by["grid_operator"] >= LEASE_S - 1


@in_virtual_time
async def test_the_event_log_says_once_that_the_master_is_silent(bench: ControlLoopBench) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    master = Master(bench)
    master.grant(16)
    await asyncio.sleep(5)
    assert not LogEntry.objects.filter(code="cluster.silent").exists()

    await asyncio.sleep(LEASE_S + 5)
    (entry,) = LogEntry.objects.filter(code="cluster.silent")
    assert entry.cleared_at is None
    for _ in range(40):
        master.grant(16)
        await asyncio.sleep(2)

    entry.refresh_from_db()
    assert entry.cleared_at is not None


@in_virtual_time
async def test_an_orderly_end_says_goodbye_when_the_boards_are_off(bench: ControlLoopBench, part: NoPart) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] <= 6_000)
    await asyncio.sleep(3)

    await bench.stop(comes_back=False)

    assert part.has_said_goodbye
    assert not bench.hall.outlets[1].released


@in_virtual_time
async def test_a_station_for_which_the_master_reserves_nothing_draws_nothing_without_a_lease(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await switch(bench, enabled="true")
    assert limit(bench) == (6_000, SILENT)
    shares, limits = bench.control_loop.cluster_shares, bench.control_loop.limits

    shares.note_place(clock.monotonic_s(), is_reserved=False)
    limits.leases_changed()
    assert limit(bench) == (0, SILENT)
    assert shares.snapshot().fallback_ma == 0
    await asyncio.sleep(LEASE_S + RISE_AFTER_S + LARGEST_JITTER_S)
    assert limit(bench) == (0, SILENT)

    shares.note_place(clock.monotonic_s(), is_reserved=True)
    limits.leases_changed()
    assert limit(bench) == (6_000, SILENT)


@in_virtual_time
async def test_another_fallback_pauses_nobody_and_a_higher_one_holds_when_it_is_reserved(
    bench: ControlLoopBench,
) -> None:
    await bench.charge()
    await switch(bench, enabled="true", fallbackA="8")
    Master(bench).grant(16)
    await bench.until(lambda: bench.hall.outlets[1].history[-1][1] == 16_000)
    told = len(bench.hall.outlets[1].history)

    await switch(bench, fallbackA="10")
    await asyncio.sleep(5.0)
    assert limit(bench) == (16_000, LED)
    assert {record[1] for record in bench.hall.outlets[1].history[told:]} <= {16_000}
    await asyncio.sleep(LEASE_S)
    assert limit(bench) == (8_000, SILENT)

    shares, limits = bench.control_loop.cluster_shares, bench.control_loop.limits
    shares.note_place(clock.monotonic_s(), is_reserved=True)
    Master(bench, "next").grant(16)
    await asyncio.sleep(LEASE_S + RISE_AFTER_S + LARGEST_JITTER_S + 1.0)
    assert limit(bench) == (10_000, SILENT)

    await switch(bench, fallbackA="6")
    limits.leases_changed()
    assert limit(bench) == (6_000, SILENT)


@in_virtual_time
async def test_a_master_goes_on_leading_with_another_fallback_and_a_slave_registers_it(
    bench: ControlLoopBench,
) -> None:
    await switch(bench, enabled="true", role="master", limitA="32", fallbackA="8")
    settings = bench.control_loop.cluster_shares.settings
    assert service._essentials(settings) == service._essentials(replace(settings, fallback=MilliAmpere(6_000)))

    slave = replace(settings, role="slave")
    assert service._essentials(slave) != service._essentials(replace(slave, fallback=MilliAmpere(6_000)))


@in_virtual_time
async def test_the_rotation_is_read_in_minutes_and_needs_no_new_beginning(bench: ControlLoopBench) -> None:
    await switch(bench, enabled="true", role="master", limitA="32")
    before = bench.control_loop.cluster_shares.settings

    await switch(bench, rotateMin="15")

    after = bench.control_loop.cluster_shares.settings
    assert (before.rotate_after_s, after.rotate_after_s) == (0.0, 900.0)
    assert service._essentials(before) == service._essentials(after)


@pytest.mark.parametrize("failure", [DatabaseError("disk I/O error"), ConfigurationRefused(())])
@in_virtual_time
async def test_a_master_that_cannot_make_its_pairing_code_leads_nobody_and_goes_on_charging(
    bench: ControlLoopBench, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ensure(_at: object) -> str:
        raise failure

    monkeypatch.setattr("loadmgmt.cluster.pairing.ensure", ensure)
    await bench.charge()

    await switch(bench, key="", role="master", limitA="63", enabled="true")
    await bench.until(lambda: bench.control_loop.cluster_shares.present.enabled)
    await asyncio.sleep(5.0)

    assert bench.control_loop.cluster_shares.present.state == "no_key"
    assert limit(bench) == (6_000, SILENT)
