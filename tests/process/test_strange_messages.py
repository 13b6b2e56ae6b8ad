"""What one process of the station tells another is no more trusted than it has to be."""

import base64
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from station.paths import DataDirectory
from station.services.commands import COMMAND_TASK
from station.services.messages import OCPP_CHANNEL
from tests.station import Station, http, wait_until

pytestmark = pytest.mark.process

# What a worker would run if it took anything but JSON.
TOUCH = "import pathlib; pathlib.Path({!r}).touch()"


class Exploit:
    """An object whose unpickling runs code."""

    def __init__(self, canary: Path) -> None:
        self.code = TOUCH.format(str(canary))

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.code,)


def letters(canary: Path) -> Iterator[bytes]:
    """Make what a broken or hostile process could lay into the queues of the workers."""
    yield from (b"", b"garbage", b"\x00\xff" * 1000, b"[]", b"{}", b"null", b"1e309", b"{" * 20_000, b'{"body": "a"}')
    headers = {"lang": "py", "id": "1", "root_id": "1", "argsrepr": "()", "kwargsrepr": "{}"}
    properties = {"correlation_id": "1", "delivery_mode": 2, "delivery_tag": "1", "body_encoding": "base64"}
    properties["delivery_info"] = {"exchange": "", "routing_key": "hardware"}
    for task, kind, body in (
        ("no.such.task", "application/json", b"[]"),
        (COMMAND_TASK, "application/json", b"nonsense"),
        (COMMAND_TASK, "application/json", b'[[], {"command": {}}, {}]'),
        (COMMAND_TASK, "application/x-python-serialize", pickle.dumps(Exploit(canary))),
    ):
        encoded = base64.b64encode(body).decode()
        yield json.dumps(
            {
                "body": encoded,
                "content-encoding": "utf-8",
                "content-type": kind,
                "headers": headers | {"task": task},
                "properties": properties,
            }
        ).encode()


def test_strange_messages_in_redis_stop_nobody(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with Station.start(tmp_path) as station:
        pids = station.child_pids()
        with Redis(unix_socket_path=DataDirectory(station.data).socket("redis.sock")) as client:
            for queue in ("hardware", "system"):
                for letter in letters(canary):
                    client.lpush(queue, letter)
            for letter in letters(canary):
                client.zadd(f"asgi{OCPP_CHANNEL}", {letter: 1})

        station.sim("/connectors/1/plug", {})
        wait_until(lambda: station.connector()["plugged"], what="a plug")
        station.wait_healthy()
        assert http("GET", station.http_port, "/healthz")[0] == 200
        with Redis(unix_socket_path=DataDirectory(station.data).socket("redis.sock")) as client:
            wait_until(
                lambda: not (client.llen("hardware") or client.llen("system") or client.zcard(f"asgi{OCPP_CHANNEL}")),
                timeout_s=60,
                what="queues that were read to their end",
            )
        # Everybody is the one of before, and nobody ran what was sent.
        assert station.child_pids() == pids
        assert not canary.exists()
