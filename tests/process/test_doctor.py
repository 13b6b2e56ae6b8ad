"""The doctor in front of a healthy station, and of ones that lack something."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.station import MANAGE, Station, wait_until

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


def _untouched(folder: Path) -> None:
    pass


def _provisioned(folder: Path) -> None:
    given = json.dumps({"serial": "100012345", "factoryPassword": "ZD5HM8RT3VNE"})
    subprocess.run(
        [sys.executable, str(MANAGE), "provision", "--data-dir", str(folder)], input=given, text=True, check=True
    )


def _left_by_an_earlier_version(folder: Path) -> None:
    """What a command that only looks has left: a database without tables."""
    folder.mkdir(mode=0o700)
    (folder / "station.sqlite3").touch(mode=0o600)


@pytest.mark.parametrize("made", [_untouched, Path.mkdir, _provisioned, _left_by_an_earlier_version])
def test_a_directory_in_which_nothing_was_started_is_examined_and_left_as_it_was(
    tmp_path: Path, made: Callable[[Path], None]
) -> None:
    station = Station(data=tmp_path / "new" / "station")
    station.data.parent.mkdir()
    made(station.data)
    before = _content(station.data.parent)

    _, english = examined(station)
    _, german = examined(station, "--lang", "de")
    said = station.manage("doctor", "--data-dir", str(station.data))

    assert _content(station.data.parent) == before
    assert "Traceback" not in said.stderr
    [database] = [each for each in english if each["subject"] == "database"]
    assert (database["level"], database["text"]) == ("warning", "there is none yet: nothing was started here so far")
    assert "runstation" in database["remedy"]
    assert any(each["text"].startswith("es gibt noch keine") for each in german)
    # Whatever needs no database is examined all the same, to the last check.
    subjects = [each["subject"] for each in english]
    assert {"data directory", "disk space", "identity", "Redis", "clock", "hardware.json"} <= set(subjects)
    assert "hardware.json" in problems(english)
    assert all(each["remedy"] for each in english if each["level"] != "ok")


def _content(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mode, path.stat().st_mtime_ns) for path in (folder, *folder.rglob("*"))}


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


@contextmanager
def occupied(port: int) -> Iterator[None]:
    """Somebody else listens at a port of this computer, as soon as it is free."""

    def listening() -> socket.socket | None:
        with suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
        return None

    with closing(wait_until(listening, what="a free port") or socket.socket()):
        yield


def web_findings(station: Station, *flags: str) -> list[dict[str, Any]]:
    return [each for each in examined(station, *flags)[1] if str(each["subject"]).lower().startswith("web")]


def test_a_web_port_that_another_program_holds_is_named_with_the_program(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    station.config_set({"/ocpp/url": ""})
    address = f"127.0.0.1:{station.http_port}"
    prepared = ("--data-dir", str(station.data))
    assert station.manage("runprocess", "prepare", *prepared).returncode == 0
    with occupied(station.http_port), ThreadPoolExecutor() as side_by_side:
        main = station.manage("runstation", *station.flags(), "--lang", "de")
        # Each waits half a minute for its port.
        serve = ("runprocess", "web", *prepared, "--http", address, "--lang")
        english, german = side_by_side.map(lambda language: station.manage(*serve, language), ("en", "de"))
        [taken] = [each for each in web_findings(station) if each["level"] == "problem"]
        [belegt] = [each for each in web_findings(station, "--lang", "de") if each["level"] == "problem"]
    after = [each["text"] for each in web_findings(station) if address in each["subject"]]

    assert english.returncode == german.returncode == main.returncode == 1
    assert f"{address} is taken by" in english.stderr
    assert f"(process {os.getpid()})" in english.stderr
    assert "Traceback" not in english.stderr + german.stderr + main.stderr
    for told in (german, main):
        assert f"{address} ist belegt durch" in told.stderr
        assert f"(Prozess {os.getpid()})" in told.stderr
    assert taken["subject"] == f"web port {address}"
    assert f"(process {os.getpid()})" in taken["text"]
    assert "systemctl edit station-web" in taken["remedy"]
    assert f"(Prozess {os.getpid()})" in belegt["text"]
    assert after == ["free"]
    with closing(sqlite3.connect(station.data / "station.sqlite3")) as database:
        events = database.execute("select data from station_logentry where code = 'web.port_taken'").fetchall()
    # However often it is tried.
    assert [[each["pid"] for each in json.loads(data)["obstacles"]] for (data,) in events] == [[os.getpid()]]


def test_a_service_that_waits_for_its_port_tells_systemd_and_ends_or_begins_at_once(tmp_path: Path) -> None:
    station = Station(data=tmp_path / "station")
    station.config_set({"/ocpp/url": ""})
    prepared = ("--data-dir", str(station.data))
    assert station.manage("runprocess", "prepare", *prepared).returncode == 0
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(30.0)

        def heard(what: bytes) -> bytes:
            while what not in (message := systemd.recv(2000)):
                assert b"READY" not in message
            return message

        @contextmanager
        def service() -> Iterator[subprocess.Popen[bytes]]:
            process = subprocess.Popen(
                [sys.executable, MANAGE, "runprocess", "web", *prepared, "--http", f"127.0.0.1:{station.http_port}"],
                env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            with process:
                try:
                    yield process
                finally:
                    process.kill()

        with occupied(station.http_port):
            with service() as process:
                assert f"(process {os.getpid()})".encode() in heard(b"STATUS=The web interface waits")
                heard(b"WATCHDOG=1")
                process.terminate()
                assert process.wait(timeout=5.0) == -signal.SIGTERM
            waiting = ExitStack()
            waiting.enter_context(service())
            heard(b"STATUS=The web interface waits")
        with waiting:
            heard(b"READY=1")


def test_the_stations_own_web_process_is_no_problem_and_ends_what_was_told(tmp_path: Path) -> None:
    with Station.start(tmp_path) as station:
        [own] = [each for each in web_findings(station) if str(station.http_port) in each["subject"]]
        assert (own["level"], own["text"]) == ("ok", "the station listens there")

        # Taken while the web process is away: it says so, and comes back by itself.
        os.kill(station.pid, signal.SIGSTOP)
        station.kill("web")
        with occupied(station.http_port):
            os.kill(station.pid, signal.SIGCONT)
            wait_until(lambda: "is taken by" in station.log("web"), timeout_s=30)
            assert [each["level"] for each in web_findings(station) if str(station.http_port) in each["subject"]] == [
                "problem"
            ]
        station.wait_healthy()
        # What a slow computer says of questions it had not answered before it was killed is no matter.
        assert "Traceback" not in station.log("web").partition("The web interface waits")[2]
    with closing(sqlite3.connect(station.data / "station.sqlite3")) as database:
        cleared = database.execute("select cleared_at from station_logentry where code = 'web.port_taken'").fetchall()
    assert [moment is not None for (moment,) in cleared] == [True]
