"""A running station under energy managers: evcc's accesses, limits at the controller, strangers and floods."""

import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from tests.station import Station, free_port, wait_until

pytestmark = pytest.mark.process

CARD = "04A2B3C4"
# Half a second of reading each, as a client that was never written to be patient would ask.
FLOOD = 2_000


def free_pair() -> int:
    """Find two ports beside one another."""
    while True:
        first = free_port()
        with suppress(OSError), closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", first + 1))
            return first


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Station, int]]:
    port = free_pair()
    config = {
        "/modbus/enabled": "true",
        "/modbus/port": str(port),
        "/auth/identification": "none",
        "/auth/authenticator": "whitelist",
    }
    with Station.start(tmp_path_factory.mktemp("modbus"), config=config) as station:
        yield station, port


@pytest.fixture
def client(site: tuple[Station, int]) -> Iterator[ModbusTcpClient]:
    with closing(connect(site[1])) as client:
        yield client


def connect(port: int) -> ModbusTcpClient:
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=10)
    wait_until(client.connect, what=f"a server at port {port}")
    return client


def read(client: ModbusTcpClient, address: int, count: int = 1, unit: int = 255) -> list[int] | int:
    """Return the words, or the code of the exception."""
    answer = client.read_holding_registers(address, count=count, device_id=unit)
    return answer.exception_code if answer.isError() else list(answer.registers)


def write(client: ModbusTcpClient, address: int, *words: int, unit: int = 255) -> int:
    """Write as evcc does (function 16); return the code of the exception, 0 for none."""
    answer = client.write_registers(address, list(words), device_id=unit)
    return int(answer.exception_code) if answer.isError() else 0


def charge(station: Station, number: int = 1) -> None:
    station.sim(f"/connectors/{number}/plug", {"max_current_a": 32})
    station.wait_sim(lambda point: point["power_w"] > 0, number=number, timeout_s=30)


def offers(station: Station, current_a: float, number: int = 1) -> None:
    station.wait_sim(lambda point: abs(point["offered_a"] - current_a) < 0.15, number=number, timeout_s=30)


def test_what_evcc_asks_a_box_of_this_kind_is_answered_as_it_expects(
    site: tuple[Station, int], client: ModbusTcpClient
) -> None:
    # reference/hardware/modbus_server.md, section 3, in the order of `charger/bender.go`.
    model = read(client, 142, 10)
    assert isinstance(model, list)
    assert b"4You" not in struct.pack(">10H", *model)
    assert read(client, 220, 2) == [0, 0]
    wait_until(lambda: read(client, 222, 2) == [0, 230] or read(client, 222, 2)[1] > 200, what="voltages")  # type: ignore[index]
    assert [read(client, address) for address in (730, 1001, 1002)] == [2, 2, 2]
    assert read(client, 740) == [0]
    assert read(client, 741, 6) == [0] * 6
    assert struct.pack(">10H", *read(client, 720, 10)) == b" " * 20
    assert read(client, 122) == [1]
    assert read(client, 1000) == [32]
    # Currents and voltages of all phases, which are polled.
    assert [len(read(client, address, 6)) for address in (212, 222)] == [6, 6]  # type: ignore[arg-type]
    assert write(client, 1000, 16) == 0
    assert read(client, 1000) == [16]
    assert write(client, 1000, 32) == 0
    # While it charges: what is polled, and what `evcc charger` asks to diagnose.
    charge(site[0])
    wait_until(lambda: read(client, 122) == [3], what="state C")
    wait_until(lambda: read(client, 220, 2) not in ([0, 0], [0xFFFF, 0xFFFF]), what="a power")
    assert read(client, 218, 2) != [0xFFFF, 0xFFFF]
    assert all(current != 0xFFFF for current in read(client, 212, 6))
    assert read(client, 140) == [1]
    assert [read(client, address, count) for address, count in ((100, 2), (104, 1))] == [[0x352E, 0x3232], [6]]
    assert struct.pack(">2H", *read(client, 120, 2)) == b"0.9c"
    assert [read(client, 740), read(client, 730)] == [[0], 2]
    assert write(client, 1000, 0) == 0
    site[0].wait_sim(lambda point: point["power_w"] == 0, timeout_s=30)
    assert read(client, 1000) == [0]
    assert write(client, 1000, 32) == 0
    site[0].sim("/connectors/1/unplug", {"side": "vehicle"})


def test_the_tool_that_installers_use_reads_and_writes(site: tuple[Station, int], client: ModbusTcpClient) -> None:
    tool = shutil.which("mbpoll")
    if tool is None:
        pytest.skip("mbpoll is not installed")
    _station, port = site

    def mbpoll(*arguments: str) -> str:
        known = ("-m", "tcp", "-p", str(port), "-0", "-1", "-o", "5")
        ran = subprocess.run([tool, *known, *arguments], check=False, capture_output=True, text=True, timeout=30)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    # By its own unit identifier 1, by that of evcc, by that of the station, and by function 4.
    assert re.search(r"\[1000\]:\s+32", mbpoll("-a", "1", "-r", "1000", "-t", "4", "127.0.0.1"))
    assert re.search(r"\[216\]:\s+\d+", mbpoll("-a", "255", "-r", "212", "-c", "3", "-t", "4:int", "-B", "127.0.0.1"))
    assert re.search(r"\[615\]:\s+\d+", mbpoll("-a", "200", "-r", "610", "-c", "6", "-t", "4", "127.0.0.1"))
    assert re.search(r"\[3032\]:\s+1", mbpoll("-a", "1", "-r", "3032", "-t", "3", "127.0.0.1"))

    mbpoll("-a", "1", "-r", "1000", "-t", "4", "127.0.0.1", "13")
    assert read(client, 1000) == [13]
    mbpoll("-a", "1", "-r", "1000", "-t", "4", "127.0.0.1", "32")


def test_a_set_point_reaches_the_controller_and_silence_brings_the_fallback(
    site: tuple[Station, int], client: ModbusTcpClient
) -> None:
    station, port = site
    with closing(connect(port + 1)) as second:
        assert write(second, 1000, 32) == 0
        charge(station, 2)
        for current_a in (16, 8, 20):
            assert write(second, 1000, current_a) == 0
            offers(station, current_a, 2)
        assert read(second, 3060, 2) == [200, 4]
        assert write(second, 1000, 0) == 0
        station.wait_sim(lambda point: point["power_w"] == 0, number=2, timeout_s=30)
        assert write(second, 1000, 10) == 0
        offers(station, 10, 2)
        assert write(second, 132, 5) == 0

    offers(station, 6, 2)

    assert read(client, 3042, 1, unit=2) == [1]
    offers(station, 10, 2)
    station.sim("/connectors/2/unplug", {"side": "vehicle"})


def test_a_ninth_client_is_refused_and_a_place_that_becomes_free_is_taken(
    site: tuple[Station, int],
) -> None:
    _station, port = site
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(connect(port))) for _ in range(8)]
        assert all(read(client, 1000) != 0 for client in clients)

        ninth = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), 10)))
        assert ninth.recv(1) == b""

        clients[0].close()
        wait_until(lambda: _answers(port), what="the free place")


def _answers(port: int) -> bool:
    with closing(socket.create_connection(("127.0.0.1", port), 10)) as client:
        client.settimeout(10)
        with suppress(OSError):
            client.sendall(bytes.fromhex("000100000006ff0303e80001"))
            return bool(client.recv(64))
    return False


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: station\r\n\r\n",
        b"\x16\x03\x01\x02\x00" * 50,
        b"\x00\x01\x00\x00\x00\x00",
        b"\x00\x01\x00\x00\xff\xff\xff\x03",
        b"\x00\x01\x00\x01\x00\x06\xff\x03\x03\xe8\x00\x01",
    ],
)
def test_what_is_no_frame_ends_its_connection_and_nothing_else(
    site: tuple[Station, int], client: ModbusTcpClient, garbage: bytes
) -> None:
    with closing(socket.create_connection(("127.0.0.1", site[1]), 10)) as stranger:
        stranger.sendall(garbage)
        with suppress(ConnectionResetError):
            assert stranger.recv(64) == b""

    assert isinstance(read(client, 1000), list)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("ff2b0e0100", 1),  # device identification
        ("ff0503e8ff00", 1),  # a coil
        ("ff0303e80000", 3),  # no register
        ("ff0303e8007e", 3),  # 126 registers
        ("ff0303e8", 3),  # half a request
        ("ff1003e80001020010ff", 3),  # more bytes than counted
        ("ff1003e80002020010", 3),  # fewer than counted
        ("ff1003e8000004", 3),
        ("ff060068ffff", 2),  # read-only
        ("ff0603e8ffff", 3),  # 65535 A
    ],
)
def test_a_request_that_makes_no_sense_gets_the_exception_for_it(
    site: tuple[Station, int], body: str, code: int
) -> None:
    frame = bytes.fromhex(body)
    with closing(socket.create_connection(("127.0.0.1", site[1]), 10)) as client:
        client.sendall(b"\x12\x34\x00\x00" + len(frame).to_bytes(2, "big") + frame)

        answer = client.recv(64)

    assert answer == b"\x12\x34\x00\x00\x00\x03" + frame[:1] + bytes([frame[1] | 0x80, code])


def test_a_flood_delays_neither_the_control_nor_the_other_energy_manager(
    site: tuple[Station, int], client: ModbusTcpClient
) -> None:
    station, port = site
    charge(station)
    hardware = station.pid_of("hardware")
    with ExitStack() as stack:
        for _ in range(6):
            flood = stack.enter_context(closing(socket.create_connection(("127.0.0.1", port), 10)))
            flood.setblocking(False)
            with suppress(BlockingIOError):
                # It sends as fast as it is taken, and reads no answer.
                for _ in range(FLOOD):
                    flood.send(bytes.fromhex("000100000006ff030064007d") * 20)
        for current_a in (10, 14, 12):
            assert write(client, 1000, current_a) == 0
            offers(station, current_a)
        assert station.healthy()

    assert station.pid_of("hardware") == hardware
    assert "hangs" not in station.log("hardware")
    station.sim("/connectors/1/unplug", {"side": "vehicle"})


def test_the_access_list_and_the_switch_take_effect_at_once(site: tuple[Station, int]) -> None:
    station, port = site
    try:
        station.config_set({"/modbus/clients": "192.0.2.7"})
        wait_until(lambda: not _answers(port), timeout_s=20, what="a refusal")
        station.config_set({"/modbus/clients": "127.0.0.0/8"})
        wait_until(lambda: _answers(port), timeout_s=20, what="an answer")
        station.config_set({"/modbus/enabled": "false"})
        wait_until(lambda: _is_closed(port), timeout_s=20, what="a closed port")
    finally:
        station.config_set({"/modbus/enabled": "true", "/modbus/clients": ""})
    wait_until(lambda: not _is_closed(port) and _answers(port), timeout_s=20, what="an answer")


def test_who_is_struck_from_the_access_list_loses_the_connection_held_before(site: tuple[Station, int]) -> None:
    station, port = site
    try:
        with closing(socket.create_connection(("127.0.0.1", port), 10)) as held:
            held.sendall(bytes.fromhex("000100000006ff0303e80001"))
            assert held.recv(260)
            station.config_set({"/modbus/clients": "192.0.2.7"})
            held.settimeout(20)

            with suppress(ConnectionResetError):
                assert held.recv(260) == b""
    finally:
        station.config_set({"/modbus/clients": ""})
    wait_until(lambda: _answers(port), timeout_s=20, what="an answer")


def _is_closed(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
    except ConnectionRefusedError:
        return True
    return False


def test_read_only_nothing_can_be_set_and_nothing_limits(site: tuple[Station, int]) -> None:
    station, port = site
    station.config_set({"/modbus/readOnly": "true"})
    try:
        with closing(connect(port)) as client:
            wait_until(lambda: write(client, 1000, 10) == 1, timeout_s=20, what="a refused write")
            assert read(client, 3061) == [1]
    finally:
        station.config_set({"/modbus/readOnly": "false"})


def test_stations_beside_one_another_find_ports_of_their_own_and_keep_them(tmp_path: Path) -> None:
    with Station.start(tmp_path) as station:
        chosen = station.manage("config", "get", "--data-dir", str(station.data), "/modbus/port").stdout.strip()
        station.stop()
        station.launch()
        again = station.manage("config", "get", "--data-dir", str(station.data), "/modbus/port").stdout.strip()

    assert chosen == again
    assert int(chosen.partition("=")[2]) > 1023
