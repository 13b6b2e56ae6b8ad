"""What a station hands in to become a member, and everything that is none of it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadmgmt.cluster.registration import (
    MAX_BYTES,
    MasterInfo,
    Registration,
    RegistrationIsMalformed,
    Station,
    is_station_id,
)
from station.domain.units import MilliAmpere

WHO = Station(
    station="WB-0002",
    name="Tiefgarage 2 – hinten",
    points=(1, 2),
    rating=MilliAmpere(32_000),
    fallback=MilliAmpere(6_000),
)
REGISTRATION = Registration(who=WHO, password_hash="ab" * 32, nonce="0f" * 16)
MASTER = MasterInfo(station="WB-0001", name="Tiefgarage 1", leading_s=100)


def test_a_message_is_read_as_it_was_written() -> None:
    assert Registration.decode(REGISTRATION.encode()) == REGISTRATION
    assert MasterInfo.decode(MASTER.encode()) == MASTER


def test_the_longest_registration_fits() -> None:
    longest = replace(REGISTRATION, who=replace(WHO, station="A" * 50, name="𝄞" * 64))

    assert Registration.decode(longest.encode()) == longest


@pytest.mark.parametrize(
    "change",
    [
        {"v": 2},
        {"station": "a b"},
        {"station": "a*"},
        {"station": "a\r\nb"},
        {"station": ""},
        {"station": "A" * 51},
        {"station": None},
        {"name": "x" * 65},
        {"name": "a\x1b[2J"},
        {"points": []},
        {"points": [1, 2, 3]},
        {"points": [2]},
        {"points": [True]},
        {"points": [1.0]},
        {"points": {"1": 1}},
        {"rating": -1},
        {"rating": True},
        {"rating": 10**30},
        {"fallback": 6000.5},
        {"hash": "AB" * 32},
        {"hash": "ab" * 31},
        {"nonce": "*"},
        {"more": 1},
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, object]) -> None:
    content = json.loads(REGISTRATION.encode()) | change

    with pytest.raises(RegistrationIsMalformed):
        Registration.decode(json.dumps(content).encode())


@pytest.mark.parametrize("message", [b"", b"[", b"[]", b"null", b"\xff", b"[" * 1000, b"{" + b" " * MAX_BYTES + b"}"])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    for decode in (Registration.decode, MasterInfo.decode):
        with pytest.raises(RegistrationIsMalformed):
            decode(message)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    for decode in (Registration.decode, MasterInfo.decode):
        with pytest.raises(RegistrationIsMalformed):
            decode(message)


@pytest.mark.parametrize(("text", "fits"), [("WB-0001", True), ("1", True), ("", False), ("ä", False), ("*", False)])
def test_a_serial_number_has_to_fit_into_the_names_of_keys(text: str, *, fits: bool) -> None:
    assert is_station_id(text) is fits
