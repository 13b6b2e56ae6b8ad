"""The snapshots survive their way over Redis, and what another version wrote is none."""

import json
from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from station.domain.snapshot import (
    BackendSnapshot,
    ClusterSnapshot,
    ControllerSnapshot,
    FinishedSessionSnapshot,
    FlashingSnapshot,
    HardwareSnapshot,
    MeterSnapshot,
    PointSnapshot,
    RefusalSnapshot,
    ReservationSnapshot,
    SeenCardSnapshot,
    SessionSnapshot,
    WaitingCardSnapshot,
    decode,
    encode,
)
from station.domain.units import MilliAmpere, MilliHertz, MilliVolt, Watt, WattHour
from tests.clusters import MASTER, SLAVE, STATIONS

AT = datetime(2026, 11, 20, 12, 0, 0, 250_000, tzinfo=UTC)
FULL = PointSnapshot(
    number=1,
    status="Charging",
    phase="charging",
    phase_since=AT,
    error_code="GroundFailure",
    faults=("GroundFailure", "WeakSignal"),
    operative=False,
    scheduled_operative=True,
    plugged=True,
    pilot="C",
    pwm=True,
    locked=True,
    contactor=True,
    cable_ma=MilliAmpere(32_000),
    offered_ma=MilliAmpere(16_000),
    limit_ma=MilliAmpere(16_000),
    limit_source="station_mains",
    limits={"rating": MilliAmpere(32_000), "station_mains": MilliAmpere(16_000)},
    energy_wh=WattHour(48_213),
    power_w=Watt(10_880),
    voltages_mv=(MilliVolt(230_400), None, MilliVolt(229_800)),
    currents_ma=(MilliAmpere(15_800), None, None),
    phase_powers_w=(Watt(3_640), None, Watt(0)),
    frequency_mhz=MilliHertz(50_010),
    reading_at=AT,
    reading_age_ms=200,
    session=SessionSnapshot(
        id=7, id_tag="04A2", origin="reader", started_at=AT, meter_start_wh=1, energy_wh=2, transaction_id=-3
    ),
    waiting_card=WaitingCardSnapshot(id_tag="04A2", until=AT),
    reservation=ReservationSnapshot(reservation_id=4, id_tag="04A2", expires_at=AT),
    last_session=FinishedSessionSnapshot(
        id=6, id_tag="04A2", started_at=AT, ended_at=AT, energy_wh=18_240, reason="Local"
    ),
    last_refusal=RefusalSnapshot(at=AT, id_tag="04DE", reason="tag_refused"),
    flashing=FlashingSnapshot(stage="writing", percent=42),
    controller=ControllerSnapshot(ok=True, model="EV-CC", serial="1", hardware_id="X4", firmware="1.1"),
    meter=MeterSnapshot(ok=False, vendor="Eastron", model="SDM630", serial="2", public_key="30"),
)
HARDWARE = HardwareSnapshot(
    revision=9,
    at=AT,
    not_ready=("starting",),
    status="Faulted",
    faults=("WeakSignal",),
    mains_ma=MilliAmpere(63_000),
    reader_ok=False,
    points=(FULL, PointSnapshot(number=2, status="Available")),
    seen_cards=(SeenCardSnapshot(at=AT, id_tag="04A2B3C4"),),
    cluster=MASTER,
)
BACKEND = BackendSnapshot(connected=True, registration="accepted", url="wss://x", identity="CP1", since=AT, outbox=3)


def test_every_field_of_a_point_is_part_of_this_test():
    default = PointSnapshot(number=2, status="Available")

    assert not [each.name for each in fields(FULL) if getattr(FULL, each.name) == getattr(default, each.name)]


def test_every_field_of_a_cluster_is_part_of_this_test():
    default = ClusterSnapshot(enabled=False)

    assert not [each.name for each in fields(MASTER) if getattr(MASTER, each.name) == getattr(default, each.name)]


def test_the_largest_cluster_makes_a_snapshot_of_bounded_size():
    stations = tuple(
        replace(STATIONS[0], id=f"{number:020d}", name="N" * 40, points=STATIONS[0].points[:1] * 2)
        for number in range(100)
    )
    largest = replace(HARDWARE, cluster=replace(MASTER, stations=stations, found=MASTER.found[:1] * 100))

    assert len(encode(largest)) < 100_000
    assert decode(HardwareSnapshot, encode(largest)) == largest


@pytest.mark.parametrize("snapshot", [HARDWARE, replace(HARDWARE, points=(), cluster=SLAVE), BACKEND], ids=type)
def test_what_is_published_is_read_as_it_was(snapshot: HardwareSnapshot | BackendSnapshot):
    assert decode(type(snapshot), encode(snapshot)) == snapshot


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        "null",
        "{}",
        encode(BACKEND),
        json.dumps(json.loads(encode(HARDWARE)) | {"at": "yesterday"}),
        json.dumps(json.loads(encode(HARDWARE)) | {"mains_ma": "63000"}),
        json.dumps(json.loads(encode(HARDWARE)) | {"reader_ok": 1}),
        json.dumps(json.loads(encode(HARDWARE)) | {"points": [{"number": 1}]}),
        json.dumps(json.loads(encode(HARDWARE)) | {"points": {"1": {}}}),
    ],
)
def test_what_another_version_wrote_is_no_snapshot(text: str | None):
    assert decode(HardwareSnapshot, text) is None


def test_what_a_newer_version_adds_does_not_disturb():
    text = json.dumps(json.loads(encode(HARDWARE)) | {"temperature_mc": 21_000})

    assert decode(HardwareSnapshot, text) == HARDWARE


def test_a_station_is_ready_when_nothing_speaks_against_it():
    assert not HARDWARE.ready
    assert replace(HARDWARE, not_ready=()).ready


def test_a_point_is_found_by_its_number():
    assert HARDWARE.point(1) == FULL
    assert HARDWARE.point(3) is None
