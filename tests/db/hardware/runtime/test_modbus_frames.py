"""Frames of energy managers as bytes: whatever comes is a request, an exception, or the end of the connection."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from hardware.runtime.modbus_server.handler import decode
from hardware.runtime.modbus_server.listener import NoFrame, Pace, plain_address, read_frame
from loadmgmt.requests import IllegalFunction, IllegalValue
from loadmgmt.settings import ServerSettings, networks


def frames(data: bytes) -> list[tuple[bytes, bytes]]:
    """Read all frames of a connection that ends after these bytes."""

    async def read() -> list[tuple[bytes, bytes]]:
        reader = asyncio.StreamReader(limit=1024)
        reader.feed_data(data)
        reader.feed_eof()
        found = []
        while True:
            try:
                found.append(await read_frame(reader))
            except (NoFrame, EOFError):
                return found

    return asyncio.run(read())


@given(st.binary(max_size=260))
def test_any_body_is_a_request_or_an_exception(body: bytes) -> None:
    try:
        request = decode(body)
    except IllegalFunction:
        assert not body or body[0] not in {3, 4, 6, 16}
        return
    except IllegalValue:
        assert body[0] in {3, 4, 6, 16}
        return
    assert 0 <= request.address <= 0xFFFF
    if isinstance(request, ReadHoldingRegistersRequest):
        assert 1 <= request.count <= 125
    elif isinstance(request, WriteMultipleRegistersRequest):
        assert len(request.registers) == request.count <= 123
    else:
        assert isinstance(request, WriteSingleRegisterRequest)


@given(st.binary(max_size=600))
def test_any_bytes_are_frames_or_the_end_of_the_connection(data: bytes) -> None:
    read = frames(data)

    assert data.startswith(b"".join(header + body for header, body in read))
    assert all(2 <= len(body) <= 254 for _, body in read)


@given(st.lists(st.tuples(st.integers(0, 65_535), st.binary(min_size=2, max_size=254)), max_size=5))
def test_frames_that_come_at_once_are_told_apart(sent: list[tuple[int, bytes]]) -> None:
    data = b"".join(number.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body for number, body in sent)

    assert [(int.from_bytes(header[:2], "big"), body) for header, body in frames(data)] == sent


def test_an_address_is_written_as_people_write_it() -> None:
    assert plain_address("::ffff:192.0.2.7") == "192.0.2.7"
    assert plain_address("fe80::1%eth0") == "fe80::1"


@pytest.mark.parametrize(
    ("listed", "address", "admitted"),
    [
        ("", "198.51.100.1", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.0/24,fd00::/8", "fd00::2", True),
        ("192.0.2.0/24", "fd00::2", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.0/120", "192.0.2.9", True),
        ("::ffff:192.0.2.7", "192.0.2.8", False),
        ("::/0", "fd00::2", True),
    ],
)
def test_who_may_connect_stands_in_the_list(listed: str, address: str, admitted: bool) -> None:  # noqa: FBT001
    assert ServerSettings(clients=networks(listed.split(",") if listed else ())).admits(address) is admitted


@given(st.lists(st.floats(0, 0.5), max_size=100))
def test_a_flood_is_served_no_faster_than_its_pace_and_a_patient_client_at_once(pauses_s: list[float]) -> None:
    pace, now_s, served_s = Pace(per_s=10, burst=5), 100.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        wait_s = pace.wait_s(now_s)
        # One request at a time: the next one comes when this one is answered.
        now_s += wait_s
        served_s.append(now_s)
        if pause_s >= 0.1 and len(served_s) == 1:
            assert wait_s == 0

    for first, later in zip(served_s, served_s[20:], strict=False):
        assert later - first >= (20 - 5) / 10 - 1e-6
