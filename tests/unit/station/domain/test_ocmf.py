"""What a meter has signed is read, never written, and checked more strictly than the transparency software does."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from station.domain import ocmf
from station.domain.ocmf import Finding, RecordMalformed
from tests.ocmf import RecordSigner, reading


@pytest.fixture(scope="module")
def meter() -> RecordSigner:
    return RecordSigner()


def test_a_session_of_two_records_has_no_finding(meter: RecordSigner) -> None:
    assert ocmf.check_session(meter.pair(), meter.public_key) == ()


def test_a_record_with_both_readings_is_a_session_by_itself(meter: RecordSigner) -> None:
    record = meter.record("T7", reading("B", "5.00"), {"TM": "2026-11-22T10:30:00,000+0000 S", "TX": "L", "RV": 5.1})
    assert ocmf.check_session([record], meter.public_key) == ()


@pytest.mark.parametrize(
    "curve",
    [ec.SECP192R1(), ec.SECP256K1(), ec.SECP256R1(), ec.BrainpoolP256R1(), ec.SECP384R1(), ec.BrainpoolP384R1()],
)
def test_every_curve_of_the_format_but_one_is_verified(curve: ec.EllipticCurve) -> None:
    meter = RecordSigner(curve)
    assert ocmf.check_session(meter.pair(), meter.public_key) == ()


def test_a_curve_nobody_here_knows_is_said_so_and_is_not_taken_for_verified(meter: RecordSigner) -> None:
    record = meter.pair()[0].replace(b"secp256r1", b"secp192k1")
    assert ocmf.check(record, meter.public_key) == (Finding.SIGNATURE_UNVERIFIABLE,)


def test_the_bytes_are_carried_unchanged_and_numbers_keep_their_digits(meter: RecordSigner) -> None:
    raw = meter.record("T1", reading("B", "12.340"))
    record = ocmf.parse(raw)
    assert record.raw == raw
    assert b'"RV":12.340,' in record.payload
    begin = record.begin
    assert begin is not None
    assert str(begin.register) == "12.340"


@pytest.mark.parametrize(
    ("kwh", "unit", "watt_hours"), [("12.3456", "kWh", 12_345), ("0.9999", "kWh", 999), ("17.9", "Wh", 17)]
)
def test_a_register_is_cut_to_whole_watt_hours_and_never_rounded_up(
    meter: RecordSigner, kwh: str, unit: str, watt_hours: int
) -> None:
    begin = ocmf.parse(meter.record("T1", reading("B", kwh) | {"RU": unit})).begin
    assert begin is not None
    assert begin.register_wh == watt_hours


def test_a_register_beyond_every_meter_is_a_finding_and_no_crash(meter: RecordSigner) -> None:
    record = meter.record("T1", reading("B", "1E+999999"))
    assert Finding.REGISTER_UNREADABLE in ocmf.check(record, meter.public_key)


def test_a_pagination_that_no_archive_can_hold_is_refused(meter: RecordSigner) -> None:
    with pytest.raises(RecordMalformed):
        ocmf.parse(meter.record(f"T{2**63}", reading("B", "5.00")))


def test_no_byte_can_be_changed_without_a_finding(meter: RecordSigner) -> None:
    raw = meter.pair()[0]
    genuine = ocmf.parse(raw)
    for place in range(len(raw)):
        for mask in (0x01, 0x20, 0x80):
            changed = raw[:place] + bytes([raw[place] ^ mask]) + raw[place + 1 :]
            if ocmf.check(changed, meter.public_key):
                continue
            # The second JSON is not signed: a digit of the signature in the other case says the same.
            record = ocmf.parse(changed)
            assert place > raw.rindex(b"|")
            assert (record.payload, record.signature) == (genuine.payload, genuine.signature)


def test_no_cut_record_gets_through(meter: RecordSigner) -> None:
    raw = meter.pair()[0]
    for length in range(len(raw)):
        assert ocmf.check(raw[:length], meter.public_key)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"OCMF",
        b"OCMF|{}|{}",
        b'OCMF|{"PG":"T1","RD":[]}|{"SD":"00"}|more',
        b'OCMF|{"PG":"T1","PG":"T2","RD":[]}|{"SD":"00"}',
        b'OCMF|{"PG":"T01","RD":[]}|{"SD":"00"}',
        b'OCMF|{"PG":"T1","RD":{}}|{"SD":"00"}',
        b'OCMF|{"PG":"T1","RD":[7]}|{"SD":"00"}',
        b'OCMF|{"PG":"T1","RD":[]}|{"SD":"0g"}',
        b'OCMF|{"PG":"T1","RD":[]}|{"SD":"00","SX":""}',
        b'OCMF|{"PG":"T1","RD":[{"RV":1e999999999999999999999}]}|{"SD":"00","SE":"rot13"}',
        b"OCMF|" + b"[" * 100_000 + b"|{}",
        b"OCMF|\xff|{}",
    ],
)
def test_what_is_no_record_is_refused(raw: bytes) -> None:
    with pytest.raises(RecordMalformed):
        ocmf.parse(raw)
    assert ocmf.check(raw, "") == (Finding.MALFORMED,)


def test_a_blank_around_a_record_belongs_to_nothing(meter: RecordSigner) -> None:
    assert ocmf.check(meter.pair()[0] + b"\n", meter.public_key) == (Finding.MALFORMED,)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"FV": "1.4"}, Finding.VERSION_UNSUPPORTED),
        ({"FV": None}, Finding.VERSION_UNSUPPORTED),
        ({"MS": None}, Finding.SERIAL_MISSING),
        ({"IL": "MISMATCH"}, Finding.IDENTIFICATION_REFUSED),
        ({"RD": []}, Finding.REGISTER_UNREADABLE),
    ],
)
def test_each_field_of_a_record_has_its_finding(meter: RecordSigner, changed: dict[str, Any], finding: Finding) -> None:
    assert finding in ocmf.check(meter.record("T1", reading("B", "1.00"), **changed), meter.public_key)


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"TM": "2026-11-22T10:00:00,000+0000 U"}, Finding.TIME_UNKNOWN),
        ({"TM": "2026-11-22T10:00:00,000+0000"}, Finding.TIME_UNREADABLE),
        ({"TM": "2026-11-22T10:00:00,000Z S"}, Finding.TIME_UNREADABLE),
        ({"TM": "2026-11-22T10:00:00.000+0000 S"}, Finding.TIME_UNREADABLE),
        ({"TM": "2026-11-22T10:00:00,000+01:00 S"}, Finding.TIME_UNREADABLE),
        ({"TM": "2026-13-22T10:00:00,000+0000 S"}, Finding.TIME_UNREADABLE),
        ({"ST": "E"}, Finding.METER_NOT_GOOD),
        ({"EF": "E"}, Finding.METER_ERROR),
        ({"RI": "01-00:02.08.00*FF"}, Finding.NOT_IMPORTED_ENERGY),
        ({"RI": "1-0:1.17.0"}, Finding.NOT_IMPORTED_ENERGY),
        ({"RU": "MWh"}, Finding.REGISTER_UNREADABLE),
        ({"RV": "12.3"}, Finding.REGISTER_UNREADABLE),
        ({"RV": True}, Finding.REGISTER_UNREADABLE),
        ({"RV": -1}, Finding.REGISTER_UNREADABLE),
    ],
)
def test_each_field_of_a_reading_has_its_finding(
    meter: RecordSigner, changed: dict[str, Any], finding: Finding
) -> None:
    assert ocmf.check(meter.record("T1", reading("B", "1.00") | changed), meter.public_key) == (finding,)


@pytest.mark.parametrize(
    "obis",
    ["1-0:1.8.0", "1-0:1.8.0*255", "01-00:01.08.00.FF", "01-00:98.08.00*FF", "01-00:B1.08.00*FF", "01-00:B3.08.00*FF"],
)
def test_every_spelling_of_imported_energy_is_known(meter: RecordSigner, obis: str) -> None:
    assert ocmf.check(meter.record("T1", reading("B", "1.00") | {"RI": obis}), meter.public_key) == ()


def test_a_gap_in_the_pagination_is_found(meter: RecordSigner) -> None:
    begin, _ = meter.pair(first=1)
    _, end = meter.pair(first=8)
    assert ocmf.check_session([begin, end], meter.public_key) == (Finding.PAGINATION_GAP,)


def test_begin_and_end_stand_once_and_at_their_places(meter: RecordSigner) -> None:
    begin, end = meter.pair()
    key = meter.public_key
    assert ocmf.check_session([begin], key) == (Finding.NO_END,)
    assert ocmf.check_session([end], key) == (Finding.NO_BEGIN,)
    assert {Finding.NO_BEGIN, Finding.NO_END} <= set(ocmf.check_session([end, begin], key))
    assert Finding.SEVERAL_BEGINS in ocmf.check_session([begin, begin, end], key)
    assert Finding.NO_END in ocmf.check_session(meter.pair(end={"TX": "C"}), key)
    assert ocmf.check_session([], key) == (Finding.NO_BEGIN, Finding.NO_END)


@pytest.mark.parametrize("end", ["E", "L", "R", "A", "P"])
def test_every_real_end_counts(meter: RecordSigner, end: str) -> None:
    assert ocmf.check_session(meter.pair(end={"TX": end}), meter.public_key) == ()


def test_energy_and_time_do_not_go_back(meter: RecordSigner) -> None:
    assert ocmf.check_session(meter.pair(end={"RV": 4.99}), meter.public_key) == (Finding.ENERGY_FALLS,)
    assert ocmf.check_session(meter.pair(end={"RV": 4999, "RU": "Wh"}), meter.public_key) == (Finding.ENERGY_FALLS,)
    before = {"TM": "2026-11-22T10:30:00,000+0100 S"}
    assert ocmf.check_session(meter.pair(end=before), meter.public_key) == (Finding.TIME_GOES_BACK,)


def test_relative_time_is_relative_at_both_ends(meter: RecordSigner) -> None:
    end = {"TM": "2026-11-22T10:30:00,000+0000 R"}
    assert ocmf.check_session(meter.pair(end=end), meter.public_key) == (Finding.TIME_SOURCES_DIFFER,)


def test_both_records_are_of_one_meter_and_for_one_driver(meter: RecordSigner) -> None:
    begin, _ = meter.pair()
    other = meter.record("T5", reading("E", "12.34", minute=30), MS="M2")
    assert ocmf.check_session([begin, other], meter.public_key) == (Finding.SERIAL_DIFFERS,)
    stranger = meter.record("T5", reading("E", "12.34", minute=30), ID="04FFFFFF")
    assert ocmf.check_session([begin, stranger], meter.public_key) == (Finding.IDENTIFICATION_DIFFERS,)


def test_the_key_decides(meter: RecordSigner) -> None:
    record = meter.pair()[0]
    assert ocmf.check(record, RecordSigner().public_key) == (Finding.SIGNATURE_WRONG,)
    assert ocmf.check(record, RecordSigner(ec.SECP384R1()).public_key) == (Finding.KEY_UNREADABLE,)
    assert ocmf.check(record, "") == (Finding.KEY_MISSING,)
    assert ocmf.check(record, "3059") == (Finding.KEY_UNREADABLE,)
    assert ocmf.check(record, "no key") == (Finding.KEY_UNREADABLE,)
