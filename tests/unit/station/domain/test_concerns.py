"""What needs attention, and how bad it is."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from station.domain import concerns
from station.domain.concerns import Known, Severity, Subject, of_cluster
from station.domain.snapshot import (
    BackendSnapshot,
    ClusterSnapshot,
    ClusterStationSnapshot,
    HardwareSnapshot,
    ModbusSnapshot,
    PointSnapshot,
)
from station.domain.units import PAUSE, MilliAmpere

AT = datetime(2026, 11, 20, 12, tzinfo=UTC)
HARDWARE = HardwareSnapshot(
    revision=1,
    at=AT,
    not_ready=(),
    status="Available",
    faults=(),
    mains_ma=MilliAmpere(63_000),
    reader_ok=True,
    points=(PointSnapshot(number=1, status="Available"), PointSnapshot(number=2, status="Available")),
)
BACKEND = BackendSnapshot(connected=True, registration="accepted", url="wss://csms.example.net", link="verified")
IN_ORDER = Known(redis_answers=True, hardware=HARDWARE, backend=BACKEND, free_bytes=10**10)


LOST_STATION = ClusterStationSnapshot(
    id="104711816", name="Left", role="slave", points=(), rating_ma=MilliAmpere(32_000), fallback_ma=PAUSE, lost=True
)


def in_cluster(**changes: Any) -> dict[str, HardwareSnapshot]:
    return {"hardware": replace(HARDWARE, cluster=ClusterSnapshot(enabled=True, **changes))}


def found(**changes: Any) -> list[tuple[Subject, Severity]]:
    return [(each.subject, each.severity) for each in concerns.concerns(replace(IN_ORDER, **changes))]


def test_a_station_that_works_needs_nobody():
    assert concerns.concerns(IN_ORDER) == ()
    assert concerns.worst(()) is None


@pytest.mark.parametrize(
    ("changes", "subject", "severity"),
    [
        ({"redis_answers": False, "hardware": None, "backend": None}, Subject.NOT_READY, Severity.PROBLEM),
        ({"hardware": None}, Subject.NOT_READY, Severity.PROBLEM),
        ({"hardware": replace(HARDWARE, not_ready=("starting",))}, Subject.NOT_READY, Severity.NOTICE),
        ({"hardware": replace(HARDWARE, not_ready=("safe_mode",))}, Subject.NOT_READY, Severity.PROBLEM),
        ({"hardware": replace(HARDWARE, faults=("WeakSignal",))}, Subject.FAULT, Severity.NOTICE),
        ({"hardware": replace(HARDWARE, faults=("FromTheFuture",))}, Subject.FAULT, Severity.PROBLEM),
        ({"backend": None}, Subject.BACKEND_ABSENT, Severity.PROBLEM),
        ({"backend": replace(BACKEND, url="", connected=False)}, Subject.BACKEND_NOT_SET_UP, Severity.NOTICE),
        ({"backend": replace(BACKEND, connected=False)}, Subject.BACKEND_OFFLINE, Severity.PROBLEM),
        ({"backend": replace(BACKEND, registration="pending")}, Subject.BACKEND_NOT_REGISTERED, Severity.NOTICE),
        ({"backend": replace(BACKEND, registration="rejected")}, Subject.BACKEND_NOT_REGISTERED, Severity.PROBLEM),
        ({"backend": replace(BACKEND, link="plain")}, Subject.LINK_PLAIN, Severity.PROBLEM),
        ({"backend": replace(BACKEND, link="unverified")}, Subject.LINK_UNVERIFIED, Severity.NOTICE),
        ({"trusts_plain_link": True}, Subject.LINK_TRUSTED_BLINDLY, Severity.NOTICE),
        ({"messages_set_aside": 2}, Subject.MESSAGES_SET_ASIDE, Severity.NOTICE),
        (
            {"hardware": replace(HARDWARE, modbus=ModbusSnapshot(enabled=True, problem="taken", problem_port=502))},
            Subject.MODBUS_CLOSED,
            Severity.PROBLEM,
        ),
        (
            {
                "hardware": replace(
                    HARDWARE,
                    points=(PointSnapshot(number=1, status="Available", limit_source="energy_manager_silent"),),
                )
            },
            Subject.ENERGY_MANAGER_SILENT,
            Severity.NOTICE,
        ),
        (in_cluster(state="no_key"), Subject.CLUSTER_UNABLE, Severity.PROBLEM),
        (in_cluster(state="not_admitted"), Subject.CLUSTER_UNABLE, Severity.PROBLEM),
        (in_cluster(state="refused", master_id="0815"), Subject.CLUSTER_SECOND_MASTER, Severity.PROBLEM),
        (in_cluster(state="silent"), Subject.CLUSTER_SILENT, Severity.NOTICE),
        (in_cluster(state="leading", stations=(LOST_STATION,)), Subject.CLUSTER_LOST, Severity.NOTICE),
        ({"modem_offline": True}, Subject.MODEM_OFFLINE, Severity.NOTICE),
        ({"clock_is_kept": False}, Subject.CLOCK, Severity.NOTICE),
        ({"free_bytes": 100_000_000}, Subject.DISK, Severity.NOTICE),
        ({"free_bytes": 1_000_000}, Subject.DISK, Severity.PROBLEM),
        ({"databases_set_aside": ("station.sqlite3.broken-1",)}, Subject.DATABASE_SET_ASIDE, Severity.PROBLEM),
        ({"secrets_lost": ("AuthorizationKey",)}, Subject.SECRETS_LOST, Severity.PROBLEM),
        ({"update_failed_at": AT}, Subject.UPDATE_FAILED, Severity.NOTICE),
        ({"vendor_access_left_minutes": 12}, Subject.VENDOR_ACCESS, Severity.NOTICE),
        ({"password_of_factory": True}, Subject.PASSWORD_OF_FACTORY, Severity.NOTICE),
    ],
)
def test_each_part_of_the_station_is_heard(changes: dict, subject: Subject, severity: Severity):
    assert found(**changes) == [(subject, severity)]


def test_the_worst_comes_first_and_names_its_charging_point():
    points = (PointSnapshot(number=1, status="Faulted", faults=("GroundFailure",)), HARDWARE.points[1])
    known = replace(IN_ORDER, hardware=replace(HARDWARE, points=points), clock_is_kept=False)

    listed = concerns.concerns(replace(known, password_of_factory=True))

    assert [each.subject for each in listed] == [Subject.FAULT, Subject.CLOCK, Subject.PASSWORD_OF_FACTORY]
    assert (listed[0].code, listed[0].connector) == ("GroundFailure", 1)
    assert concerns.worst(listed) is Severity.PROBLEM


def test_a_lost_station_is_named_with_its_serial_number_and_one_that_is_heard_is_not_lost() -> None:
    heard = replace(LOST_STATION, id="104711817", link_age_s=1)

    (concern,) = of_cluster(ClusterSnapshot(enabled=True, state="leading", stations=(LOST_STATION, heard)))

    assert concern.data == {"names": "Left 104711816"}


def test_of_many_stations_that_are_not_heard_a_few_are_named_and_never_this_one() -> None:
    others = tuple(replace(LOST_STATION, id=str(number), name="TE-AC22") for number in range(100, 200))
    cluster = ClusterSnapshot(enabled=True, state="leading", own_id="100", stations=others)

    (concern,) = concerns.of_cluster(cluster)

    assert concern.data["names"] == "TE-AC22 101, TE-AC22 102, TE-AC22 103, TE-AC22 104, TE-AC22 105 … (+94)"
