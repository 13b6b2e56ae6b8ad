import socket
from pathlib import Path

import pytest

from station.host.heartbeat import UnwatchedHeartbeat, from_environment


@pytest.fixture
def listener() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def test_systemd_hears_that_the_process_is_ready_and_then_that_it_works(
    tmp_path: Path, listener: socket.socket
) -> None:
    listener.bind(str(tmp_path / "notify"))
    heartbeat = from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")})

    heartbeat.beat(1.0)
    heartbeat.beat(2.0)

    assert [listener.recv(100), listener.recv(100)] == [b"READY=1\nWATCHDOG=1", b"WATCHDOG=1"]
    listener.close()


def test_an_abstract_address_is_understood(listener: socket.socket) -> None:
    listener.bind(b"\0station-heartbeat-test")

    from_environment({"NOTIFY_SOCKET": "@station-heartbeat-test"}).beat(1.0)

    assert listener.recv(100) == b"READY=1\nWATCHDOG=1"
    listener.close()


def test_a_beat_nobody_hears_is_no_error_and_readiness_is_told_again(tmp_path: Path, listener: socket.socket) -> None:
    heartbeat = from_environment({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    heartbeat.beat(1.0)

    listener.bind(str(tmp_path / "notify"))
    heartbeat.beat(2.0)

    assert listener.recv(100) == b"READY=1\nWATCHDOG=1"
    listener.close()


def test_a_process_started_by_hand_is_not_watched() -> None:
    assert isinstance(from_environment({}), UnwatchedHeartbeat)
