import json
import os
import signal
import subprocess
import sys

import pytest

from station.host.power import MainProcess, MainProcessIsAway, PowerVerb, process_start_ticks, take_request
from station.paths import DataDirectory
from station.processes.lock import AlreadyRunning, StationLock, end_orphans


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
