"""The check-up says what is wrong with the cluster, and how to mend it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from station.domain.snapshot import ClusterSnapshot, HardwareSnapshot
from station.domain.units import PAUSE
from station.processes.checkup import Level, cluster
from station.services import live
from tests.clusters import SLAVE


def examined(monkeypatch: pytest.MonkeyPatch, present: ClusterSnapshot) -> list[tuple[Level, str]]:
    hardware = HardwareSnapshot(
        revision=1,
        at=datetime(2026, 11, 22, tzinfo=UTC),
        not_ready=(),
        status="Available",
        faults=(),
        mains_ma=PAUSE,
        reader_ok=True,
        points=(),
        cluster=present,
    )
    monkeypatch.setattr(live, "hardware", lambda: hardware)
    return [(finding.level, finding.remedy) for finding in cluster.findings()]


def test_a_master_that_is_not_heard_is_a_warning_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = replace(SLAVE, state="silent", stations=())

    assert examined(monkeypatch, silent) == [(Level.WARNING, "Check the network cable, the master and its address.")]


def test_a_cluster_that_is_off_is_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert examined(monkeypatch, ClusterSnapshot(enabled=False)) == []
