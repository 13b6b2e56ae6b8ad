"""The private Redis as the station starts it: what it may be told, and from where."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, ResponseError

from station.paths import DataDirectory
from tests.station import MANAGE, wait_until

pytestmark = pytest.mark.process


@pytest.fixture
def running(data: DataDirectory) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, str(MANAGE), "runprocess", "redis", "--simulate", "--data-dir", str(data.root)]
    process = subprocess.Popen(command)
    wait_until(lambda: answers(data), timeout_s=30)
    yield process
    process.kill()
    process.wait()


def answers(data: DataDirectory) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe, suppress(OSError):
        probe.connect(data.socket("redis.sock"))
        return True
    return False


@pytest.mark.usefixtures("running")
def test_nobody_can_make_it_load_code_write_files_or_send_its_data_away(data: DataDirectory) -> None:
    with Redis(unix_socket_path=data.socket("redis.sock")) as client:
        for command in (
            ("CONFIG", "SET", "dir", "/"),
            ("CONFIG", "GET", "*"),
            ("FLUSHALL",),
            ("SHUTDOWN",),
            ("MODULE", "LOAD", "/x.so"),
            ("REPLICAOF", "192.0.2.1", "6379"),
            ("SAVE",),
            ("MONITOR",),
            ("ACL", "SETUSER", "default", "+@all"),
            ("EVAL", "return redis.call('config','get','*')", "0"),
        ):
            with pytest.raises((NoPermissionError, ResponseError)):
                client.execute_command(*command)
        assert client.ping()


def test_it_listens_at_no_address_and_shows_nothing_in_the_list_of_processes(
    running: subprocess.Popen[bytes], data: DataDirectory
) -> None:
    process = Path(f"/proc/{running.pid}")
    own = set()
    for path in (process / "fd").iterdir():
        # The connection of whoever has just asked whether it answers may go meanwhile.
        with suppress(FileNotFoundError):
            own.add(str(path.readlink()))
    tables = [line.split() for file in ("tcp", "tcp6") for line in (process / "net" / file).read_text().splitlines()]

    assert not own & {f"socket:[{line[9]}]" for line in tables}
    assert (data.run / "redis.sock").stat().st_mode & 0o077 == 0
    assert b"unixsocket " not in (process / "cmdline").read_bytes()
