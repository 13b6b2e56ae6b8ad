"""Who listens at a port, from the kernel's tables."""

import os
import socket
import sys
from contextlib import closing
from pathlib import Path

import pytest

from station.host.listeners import holder

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LITTLE_ENDIAN = sys.byteorder == "little"


def row(address: str, state: str = "0A", uid: int = 33, inode: int = 77) -> str:
    return f"   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1 0 100 0\n"


def proc(tmp_path: Path, *rows: str, tcp6: str = "") -> Path:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "tcp").write_text(HEADER + "".join(rows))
    if tcp6:
        (tmp_path / "net" / "tcp6").write_text(HEADER + tcp6)
    return tmp_path


def test_this_very_process_is_found() -> None:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert holder("127.0.0.1", port) is None
        listener.listen()

        found, everywhere = holder("127.0.0.1", port), holder("0.0.0.0", port)

    assert found
    assert found == everywhere
    assert (found.pid, found.uid) == (os.getpid(), os.getuid())
    assert found.program
    assert "pytest" in found.title


def test_a_wildcard_of_ipv6_takes_the_port_of_ipv4_along() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("no IPv6 here")
    with closing(socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)) as listener:
        found = holder("0.0.0.0", listener.getsockname()[1])

    assert found
    assert found.pid == os.getpid()


@pytest.mark.skipif(not LITTLE_ENDIAN, reason="the rows are those of a little-endian processor")
@pytest.mark.parametrize(
    ("address", "host", "is_taken"),
    [
        ("00000000:0050", "127.0.0.1", True),
        ("0100007F:0050", "0.0.0.0", True),
        ("0100007F:0050", "127.0.0.1", True),
        ("0100007F:0050", "localhost", True),
        ("0101A8C0:0050", "127.0.0.1", False),
        ("00000000:0051", "127.0.0.1", False),
    ],
)
def test_only_a_listener_that_leaves_no_room_counts(tmp_path: Path, address: str, host: str, *, is_taken: bool) -> None:
    found = holder(host, 80, proc(tmp_path, row(address)))

    assert (found is not None) == is_taken


def test_an_open_connection_is_no_listener(tmp_path: Path) -> None:
    assert holder("127.0.0.1", 80, proc(tmp_path, row("0100007F:0050", state="01"))) is None


def test_whoever_may_not_look_into_the_process_learns_its_user(tmp_path: Path) -> None:
    found = holder("0.0.0.0", 80, proc(tmp_path, row("00000000:0050", uid=4_000_000)))

    assert found
    assert (found.pid, found.program, found.user) == (0, "", "4000000")


def test_tables_that_cannot_be_read_name_nobody(tmp_path: Path) -> None:
    assert holder("0.0.0.0", 80, tmp_path) is None
    assert holder("0.0.0.0", 80, proc(tmp_path, "nonsense\n", tcp6="what: ever\n")) is None
