import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from station.host.heartbeat import UnwatchedHeartbeat, from_environment


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as opened:
        opened.settimeout(5.0)
        yield opened


def test_systemd_hears_that_the_process_works_and_that_it_serves_only_when_it_says_so(
    tmp_path: Path, listener: socket.socket
) -> None:
    listener.bind(str(tmp_path / "notify"))
    heartbeat = from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")})

    heartbeat.beat(1.0)
    heartbeat.serves("controls\n2 points")
    heartbeat.serves("controls 2 points")
    heartbeat.beat(2.0)
    heartbeat.serves("waits")

    assert [listener.recv(100) for _ in range(4)] == [
        b"WATCHDOG=1",
        b"READY=1\nSTATUS=controls 2 points\n",
        b"WATCHDOG=1",
        b"READY=1\nSTATUS=waits\n",
    ]


def test_a_process_that_waits_says_for_what_and_is_not_ready_before_it_serves(
    tmp_path: Path, listener: socket.socket
) -> None:
    listener.bind(str(tmp_path / "notify"))
    heartbeat = from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")})

    heartbeat.waits("waits for\nport 80")
    heartbeat.waits("waits for port 80")
    heartbeat.serves("waits for port 80")

    assert [listener.recv(100) for _ in range(2)] == [
        b"STATUS=waits for port 80\n",
        b"READY=1\nSTATUS=waits for port 80\n",
    ]


def test_an_abstract_address_is_understood(listener: socket.socket) -> None:
    listener.bind(b"\0station-heartbeat-test")

    from_environment({"NOTIFY_SOCKET": "@station-heartbeat-test"}).beat(1.0)

    assert listener.recv(100) == b"WATCHDOG=1"


def test_a_message_nobody_hears_is_no_error_and_readiness_is_told_with_the_next_beat(
    tmp_path: Path, listener: socket.socket
) -> None:
    heartbeat = from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    heartbeat.beat(1.0)
    heartbeat.serves("works")

    listener.bind(str(tmp_path / "notify"))
    heartbeat.beat(2.0)
    heartbeat.beat(3.0)

    assert [listener.recv(100), listener.recv(100)] == [b"READY=1\nSTATUS=works\nWATCHDOG=1", b"WATCHDOG=1"]


def test_a_process_started_by_hand_is_not_watched() -> None:
    assert isinstance(from_environment({}), UnwatchedHeartbeat)
