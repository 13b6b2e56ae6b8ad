"""What energy managers read and write: the accesses of evcc's driver for this table, and whatever else may come."""

import struct
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadmgmt.energy_manager import SetPoint, Settings, Watchdog
from loadmgmt.registers import ERROR_NUMBERS, LIMIT_SOURCES, Unit, View, Write, table
from loadmgmt.requests import IllegalAddress, IllegalValue, as_configuration, read, unit_of, write
from station.domain.faults import FaultCode
from station.domain.limits import LimitSource
from station.domain.snapshot import (
    ClusterSnapshot,
    ClusterStationSnapshot,
    FinishedSessionSnapshot,
    PointSnapshot,
    SessionSnapshot,
)
from station.domain.units import PAUSE, MilliAmpere, MilliVolt, Watt, WattHour

AT = datetime(2026, 11, 21, 12, 30, 15, tzinfo=UTC)
UNKNOWN = 0xFFFF
CHARGING = PointSnapshot(
    number=1,
    status="Charging",
    pilot="C",
    locked=True,
    contactor=True,
    cable_ma=MilliAmpere(32_000),
    offered_ma=MilliAmpere(16_000),
    limit_ma=MilliAmpere(16_000),
    limit_source="energy_manager",
    limits={"rating": MilliAmpere(32_000), "station_mains": MilliAmpere(63_000), "energy_manager": MilliAmpere(16_000)},
    energy_wh=WattHour(70_000),
    power_w=Watt(11_000),
    voltages_mv=(MilliVolt(230_400), MilliVolt(231_000), MilliVolt(229_800)),
    currents_ma=(MilliAmpere(15_900), MilliAmpere(15_800), MilliAmpere(15_700)),
    phase_powers_w=(Watt(3_700), Watt(3_650), Watt(3_650)),
    session=SessionSnapshot(
        id=70_001, id_tag="04A2B3C4", origin="reader", started_at=AT, meter_start_wh=1_000, energy_wh=69_000
    ),
)
IDLE = PointSnapshot(number=1, status="Available", pilot="A", limits={"rating": MilliAmpere(32_000)})


def view(point: PointSnapshot = CHARGING, **changes: Any) -> View:
    made = View(
        at=AT,
        zone=UTC,
        uptime_s=100,
        firmware="2.1",
        model="TE-AC22",
        serial="100002440",
        mains=MilliAmpere(63_000),
        mains_ceiling=MilliAmpere(63_000),
        settings=Settings(enabled=True),
        points=(point, replace(IDLE, number=2)),
        point=point,
        set_point=SetPoint(current=MilliAmpere(16_000)),
        limit=MilliAmpere(16_000),
        watchdog=Watchdog.ALIVE,
        remaining_s=42,
    )
    return replace(made, **changes)


def words(address: int, count: int = 1, point: PointSnapshot = CHARGING, **changes: Any) -> list[int]:
    return read(Unit.POINT, address, count, view(point, **changes))


def u32(address: int, point: PointSnapshot = CHARGING) -> int:
    high, low = words(address, 2, point)
    return high << 16 | low


def text(address: int, count: int, point: PointSnapshot = CHARGING) -> bytes:
    return struct.pack(f">{count}H", *words(address, count, point))


def test_evcc_finds_a_box_of_the_newer_kind_with_meter_and_voltages() -> None:
    assert text(142, 10).rstrip(b"\0") == b"TE-AC22"
    assert u32(220) == 11_000
    assert u32(222) == 230
    assert u32(218) == 70_000
    assert words(212, 6) == [0, 15_900, 0, 15_800, 0, 15_700]
    assert words(222, 6) == [0, 230, 0, 231, 0, 229]
    assert text(100, 2) == b"5.22"
    assert words(122) == [3]
    assert words(1000) == [16]
    assert words(740) == [0]
    assert words(741, 6) == [0] * 6
    assert text(720, 10) == b"04A2B3C4".rjust(20)
    assert words(104) == [6]
    assert words(140) == [1]


@pytest.mark.parametrize("address", [730, 1001, 1002])
def test_evcc_is_refused_what_the_station_cannot_do(address: int) -> None:
    with pytest.raises(IllegalAddress):
        words(address)


def test_a_meter_that_has_not_answered_yet_reads_zero_and_a_missing_one_unknown() -> None:
    assert words(220, 2, IDLE) == [0, 0]
    assert words(220, 2, IDLE, has_meter=False) == [UNKNOWN, UNKNOWN]


def test_nobody_s_card_is_twenty_blanks() -> None:
    assert text(720, 10, IDLE) == b" " * 20


def test_what_stands_between_registers_reads_zero() -> None:
    assert words(100, 5)[2:4] == [0, 0]
    assert words(135, 2) == [0, 0]
    assert words(728, 4)[2] == 0  # state of charge, in the middle of a block


@pytest.mark.parametrize("address", [0, 99, 5_000, 40_000, 65_535, 3_044])
def test_what_is_no_register_cannot_be_read(address: int) -> None:
    with pytest.raises(IllegalAddress):
        words(address)


def test_error_bits_stand_low_byte_first_in_the_last_two_registers() -> None:
    faulted = replace(CHARGING, faults=("GroundFailure", "PowerSwitchFailure"))

    assert words(105, 8, faulted) == [0, 0, 0, 0, 0, 0, 0x4100, 0]
    assert words(3070, 1, faulted) == [1]
    assert u32(3071, faulted) == 0b1001


def test_the_energy_manager_s_register_shows_what_was_written_or_the_fallback_in_its_place() -> None:
    assert words(1000, set_point=SetPoint(current=MilliAmpere(4_000)), limit=MilliAmpere(4_000)) == [4]
    assert words(1000, watchdog=Watchdog.EXPIRED, limit=MilliAmpere(6_000)) == [6]
    assert words(1000, set_point=SetPoint(), limit=None) == [32]
    assert words(3050) == [160]


def test_times_of_a_session_are_decimal_digits() -> None:
    ended = FinishedSessionSnapshot(
        id=1, id_tag="A", started_at=AT, ended_at=AT.replace(hour=23), energy_wh=70_000, reason="Local"
    )

    assert u32(707) == 0x00123015
    assert u32(710) == 0
    assert u32(710, replace(IDLE, last_session=ended)) == 0x00233015
    assert words(705, 1, replace(IDLE, last_session=ended)) == [UNKNOWN]  # at most 65,535
    assert u32(716, replace(IDLE, last_session=ended)) == 70_000


def test_every_fault_and_every_source_of_a_limit_has_its_number() -> None:
    assert set(ERROR_NUMBERS) == set(FaultCode)
    assert set(LIMIT_SOURCES) == set(LimitSource)


def test_no_two_registers_share_an_address() -> None:
    for unit in Unit:
        taken = [each.address + word for each in table(unit, 2) for word in range(each.words)]
        assert len(taken) == len(set(taken))


def test_the_station_tells_all_its_points_in_one_block() -> None:
    whole = read(Unit.STATION, 3200, 16, view(point=None, points=(CHARGING, replace(IDLE, number=2))))

    assert whole[:8] == [6, 160, 0, 11_000, 1, 70_000 - 65_536, 0, 0]
    assert whole[8] == 0


def station_words(address: int, count: int, **changes: Any) -> list[int]:
    return read(Unit.STATION, address, count, replace(view(), point=None, **changes))


def test_the_station_tells_what_it_may_draw_what_it_does_and_what_is_left() -> None:
    lowered = {"mains": MilliAmpere(40_000)}

    assert station_words(600, 1) == [0]
    assert station_words(610, 6, **lowered) == [63] * 3 + [40] * 3
    assert station_words(630, 6, **lowered) == [16] * 3 + [24] * 3


def test_a_master_tells_the_same_of_its_cluster() -> None:
    stations = tuple(
        ClusterStationSnapshot(
            id=name, name=name, role="slave", points=(), rating_ma=MilliAmpere(32_000), fallback_ma=PAUSE, lost=lost
        )
        for name, lost in (("1", False), ("2", False), ("3", True))
    )
    drawn = (MilliAmpere(50_000), MilliAmpere(60_000), MilliAmpere(110_000))
    led = ClusterSnapshot(
        enabled=True,
        role="master",
        state="leading",
        own_id="1",
        limit_ma=MilliAmpere(100_000),
        reserved_ma=drawn,
        stations=stations,
    )

    assert station_words(600, 1, cluster=led) == [1]
    assert station_words(610, 6, cluster=led) == [100] * 6
    assert station_words(620, 2, cluster=led) == [0, 1]
    assert station_words(630, 6, cluster=led) == [50, 60, 110, 50, 40, 0]
    assert station_words(600, 1, cluster=replace(led, role="slave", state="member")) == [3]


def test_the_unit_identifier_chooses_at_the_first_port_alone() -> None:
    assert [unit_of(identifier, 1, 2) for identifier in (255, 0, 1, 2, 77, 200)] == [
        (Unit.POINT, 1),
        (Unit.POINT, 1),
        (Unit.POINT, 1),
        (Unit.POINT, 2),
        (Unit.POINT, 1),
        (Unit.STATION, 0),
    ]
    assert {unit_of(identifier, 2, 2) for identifier in (255, 1, 200)} == {(Unit.POINT, 2)}


def test_half_of_a_value_cannot_be_written() -> None:
    with pytest.raises(IllegalValue):
        write(Unit.POINT, 3051, [1], 2)
    with pytest.raises(IllegalValue):
        write(Unit.POINT, 3052, [1], 2)


@pytest.mark.parametrize("address", [104, 142, 3060, 3034, 730, 135, 99, 5_000])
def test_what_is_only_for_reading_cannot_be_written(address: int) -> None:
    with pytest.raises(IllegalAddress):
        write(Unit.POINT, address, [1], 2)


@pytest.mark.parametrize(
    ("address", "value"),
    [(1000, 81), (1000, 65_535), (3050, 801), (132, 4), (132, 3_601), (131, 5), (131, 81), (3041, 59), (3045, 2)],
)
def test_a_value_out_of_range_is_refused(address: int, value: int) -> None:
    with pytest.raises(IllegalValue):
        write(Unit.POINT, address, [value], 2)


def test_settings_are_written_as_the_configuration_keys_they_are() -> None:
    assert as_configuration(Write.FALLBACK_A, 8) == {"/modbus/fallbackCurrent": "8000"}
    assert as_configuration(Write.FALLBACK, 85) == {"/modbus/fallbackCurrent": "8500"}
    assert as_configuration(Write.WATCHDOG, 0) == {"/modbus/watchdogS": "0"}
    assert as_configuration(Write.LIFE_SIGN, 1) == {"/modbus/lifeSign": "writes"}
    assert as_configuration(Write.CURRENT, 60) == {}


@given(st.sampled_from(Unit), st.integers(0, 65_535), st.integers(1, 125), st.sampled_from((IDLE, CHARGING)))
def test_any_block_is_answered_whole_or_refused(unit: Unit, address: int, count: int, point: PointSnapshot) -> None:
    present = view(point)
    try:
        found = read(unit, address, count, present if unit is Unit.POINT else replace(present, point=None))
    except IllegalAddress:
        return
    assert len(found) == count
    assert all(0 <= word <= 0xFFFF for word in found)


@given(st.sampled_from(Unit), st.integers(0, 65_535), st.lists(st.integers(0, 65_535), min_size=1, max_size=123))
def test_any_write_is_understood_whole_or_refused(unit: Unit, address: int, sent: list[int]) -> None:
    try:
        written = write(unit, address, sent, 2)
    except (IllegalAddress, IllegalValue):
        return
    assert written
