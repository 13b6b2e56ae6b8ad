"""The doctor in front of a healthy station, and of ones that lack something."""

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.station import Station, wait_until

pytestmark = pytest.mark.process


def examined(station: Station, *flags: str) -> tuple[int, list[dict[str, Any]]]:
    done = station.manage("doctor", "--data-dir", str(station.data), "--json", *flags)
    return done.returncode, json.loads(done.stdout)


def problems(findings: list[dict[str, Any]]) -> list[str]:
    return [finding["subject"] for finding in findings if finding["level"] == "problem"]


def test_a_running_station_with_a_backend_has_no_problem(tmp_path: Path) -> None:
    from tests.station import free_port

    with Station.start(tmp_path, demo_port=free_port()) as station:
        code, findings = wait_until(lambda: (found := examined(station))[0] == 0 and found, timeout_s=20) or (1, [])

    assert code == 0
    assert not problems(findings)
    assert any(finding["subject"].startswith("port ") for finding in findings)


def test_every_problem_comes_with_a_remedy_in_the_readers_language(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    station.config_set({"/ocpp/url": "ws://127.0.0.1:1/"})
    (station.data / "hardware.json").write_text('{"connectors": []}')

    code, english = examined(station)
    _, german = examined(station, "--lang", "de")

    assert code == 1
    assert set(problems(english)) == {"hardware.json", "backend · Network (TCP)"}
    assert all(finding["remedy"] for finding in english if finding["level"] != "ok")
    assert [finding["remedy"] for finding in german] != [finding["remedy"] for finding in english]


def test_a_damaged_database_is_noticed(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    station.config_set({"/ocpp/url": ""})
    database = station.data / "station.sqlite3"
    content = bytearray(database.read_bytes())
    content[8192:40960] = b"\xff" * (40960 - 8192)
    database.write_bytes(content)

    code, findings = examined(station)

    assert code == 1
    assert "database" in problems(findings)


@contextmanager
def silent_redis(station: Station, *, takes: int) -> Iterator[None]:
    """Somebody at the socket of Redis who answers nothing, with room for so many connections."""
    path = station.data / "run" / "redis.sock"
    path.parent.mkdir(exist_ok=True)
    with closing(socket.socket(socket.AF_UNIX)) as silent, ExitStack() as waiting:
        silent.bind(str(path))
        silent.listen(takes)
        if not takes:
            # A queue of none has room for one.
            waiting.enter_context(closing(socket.socket(socket.AF_UNIX))).connect(str(path))
        yield
    path.unlink()


@pytest.mark.parametrize("takes", [8, 0])
def test_a_redis_that_answers_nothing_is_noticed_soon(tmp_path: Path, takes: int) -> None:
    station = Station(data=tmp_path / "station")
    station.config_set({"/ocpp/url": ""})
    with silent_redis(station, takes=takes):
        code, findings = examined(station)
        _, german = examined(station, "--lang", "de")

    assert code == 1
    [found] = [each for each in findings if each["subject"] == "Redis"]
    assert (found["level"], found["text"]) == ("problem", "it hangs: it takes questions and answers none")
    assert "systemctl restart station-redis" in found["remedy"]
    assert any(each["text"].startswith("hängt") for each in german)


def test_a_redis_that_was_stopped_is_noticed(tmp_path: Path) -> None:
    with Station.start(tmp_path) as station:
        # The main process would replace it.
        os.kill(station.pid, signal.SIGSTOP)
        try:
            redis = station.kill("redis", signal.SIGSTOP)
            _, findings = examined(station)
            os.kill(redis, signal.SIGCONT)
            _, afterwards = examined(station)
        finally:
            os.kill(station.pid, signal.SIGCONT)

    assert "Redis" in problems(findings)
    assert "Redis" not in problems(afterwards)
