import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from station import private_files
from station.host.power import MainProcess, MainProcessIsAway, PowerVerb, process_start_ticks, take_request
from station.paths import DataDirectory
from station.processes.lock import (
    AlreadyRunning,
    DirectoryIsUsed,
    IsControlled,
    StationLock,
    alone,
    control,
    end_orphans,
    is_controlled,
    is_used,
    share,
    uncontrolled,
)


def test_one_directory_has_one_main_process(data: DataDirectory) -> None:
    StationLock(data).acquire()

    with pytest.raises(AlreadyRunning) as refusal:
        StationLock(data).acquire()

    assert refusal.value.pid == os.getpid()


def test_the_lock_names_the_main_process_and_only_while_it_lives(data: DataDirectory) -> None:
    with pytest.raises(MainProcessIsAway):
        MainProcess(data).pid()

    lock = StationLock(data)
    lock.acquire()
    assert MainProcess(data).pid() == os.getpid()

    # The same pid given to another process later is not the main process.
    lock.path.write_text(json.dumps({"pid": os.getpid(), "started": 1, "stopping": False}))
    with pytest.raises(MainProcessIsAway):
        MainProcess(data).pid()


def test_an_orphan_is_ended_and_a_stranger_with_its_pid_is_not(data: DataDirectory) -> None:
    orphan, stranger = (subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(2))
    try:
        (data.run / "web.pid").write_text(f"{orphan.pid} {process_start_ticks(orphan.pid)}\n")
        (data.run / "ocpp.pid").write_text(f"{stranger.pid} 1\n")

        assert end_orphans(data) == ["web"]

        assert orphan.wait(5) == -signal.SIGTERM
        assert stranger.poll() is None
        assert not list(data.run.glob("*.pid"))
    finally:
        for process in (orphan, stranger):
            process.kill()
            process.wait()


def test_a_request_is_taken_once_and_nonsense_is_dropped(data: DataDirectory) -> None:
    request = data.run / "power.request"
    request.write_text(PowerVerb.REBOOT.value)

    assert take_request(data) is PowerVerb.REBOOT
    assert take_request(data) is None
    request.write_text("explode")
    assert take_request(data) is None


SERVICE = """
import os, subprocess, sys
from pathlib import Path
from station.paths import DataDirectory
from station.processes.lock import control, share
share(DataDirectory(Path(sys.argv[1])), survives_exec=sys.argv[2] == "becomes another")
if sys.argv[2] == "controls":
    control(DataDirectory(Path(sys.argv[1])))
if sys.argv[2] == "becomes another":
    os.execv("/bin/sh", ["sh", "-c", "echo; read line"])
subprocess.Popen(["/bin/sh", "-c", "echo; read line"]).wait()
"""


@contextmanager
def service(data: DataDirectory, way: str = "starts another") -> Iterator[subprocess.Popen[str]]:
    """Have a process that holds the directory; what it starts lives until the end of the context."""
    command = [sys.executable, "-c", SERVICE, str(data.root), way]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def test_services_share_a_directory_that_no_main_process_may_have_meanwhile(data: DataDirectory) -> None:
    assert not is_used(data)
    with service(data) as one, service(data) as other:
        assert is_used(data)
        with pytest.raises(DirectoryIsUsed):
            StationLock(data).acquire()
        with pytest.raises(MainProcessIsAway):
            MainProcess(data).pid()
        with pytest.raises(DirectoryIsUsed), alone(data):
            pass
        one.kill()
        one.wait()
        assert is_used(data)
        other.kill()
        other.wait()

        # What they have started lives on, and does not keep the directory.
        assert not is_used(data)
        StationLock(data).acquire()


def test_no_service_begins_beside_a_main_process_or_a_restore(data: DataDirectory) -> None:
    with alone(data):
        assert is_used(data)
        with pytest.raises(DirectoryIsUsed):
            share(data, survives_exec=False)
    StationLock(data).acquire()
    assert is_used(data)
    with pytest.raises(DirectoryIsUsed):
        share(data, survives_exec=False)


def test_a_service_that_becomes_another_program_goes_on_holding_the_directory(data: DataDirectory) -> None:
    with service(data, "becomes another") as process:
        assert is_used(data)
        process.kill()
        process.wait()
        assert not is_used(data)


def test_a_directory_that_is_not_there_is_not_used(tmp_path: Path) -> None:
    assert not is_used(DataDirectory(tmp_path / "none"))


def test_who_looks_at_the_files_of_run_does_not_wait_for_the_station(data: DataDirectory) -> None:
    with alone(data), private_files.exclusive(data.run):
        assert is_used(data)


def test_who_controls_the_hardware_keeps_nobody_from_any_folder(data: DataDirectory) -> None:
    assert not is_controlled(data)
    with service(data), service(data, "controls") as control_loop:
        assert is_controlled(data)
        for folder in (data.root, *(each for each in data.root.iterdir() if each.is_dir())):
            # The services hold that of the logs, which nobody waits for.
            if folder != data.logs:
                with private_files.exclusive(folder):
                    assert is_controlled(data)
        control_loop.kill()
        control_loop.wait()
        assert not is_controlled(data)


def test_one_controls_and_nobody_beside_it(data: DataDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.processes.lock.WITHDRAWAL_S", 0.0)
    monkeypatch.setattr("station.processes.lock._LOOKING_S", 0.0)
    with service(data, "controls") as other:
        with pytest.raises(IsControlled):
            control(data)
        with pytest.raises(IsControlled), uncontrolled(data):
            pass
        other.kill()
        other.wait()

        with uncontrolled(data), pytest.raises(IsControlled):
            control(data)
        control(data)

        assert is_controlled(data)


def test_without_its_lock_nobody_controls(data: DataDirectory) -> None:
    data.controlled.mkdir()

    with pytest.raises(OSError, match="controlled"):
        control(data)


def test_who_looks_at_the_same_moment_is_not_taken_for_a_control(data: DataDirectory) -> None:
    # Left by a control that has ended.
    data.controlled.touch()
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            is_controlled(data)

    others = [threading.Thread(target=look) for _ in range(3)]
    for other in others:
        other.start()
    try:
        assert not any(is_controlled(data) for _ in range(3000))
        control(data)
        assert is_controlled(data)
    finally:
        is_over.set()
        for other in others:
            other.join()
