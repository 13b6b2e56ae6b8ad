"""The supervisor and what may not disturb it: a clock that is set, a disk that is full."""

import errno
import io
import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from supervisor.loggers import handle_file
from supervisor.states import ProcessStates

from station import clock
from station.processes.supervision import StationProcess
from station.processes.supervisor_library import PatientLogger, measure_durations_steadily


def test_a_clock_that_is_set_back_delays_no_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    measure_durations_steadily()
    process = StationProcess(SimpleNamespace(name="web", startsecs=1, stopwaitsecs=1, options=SimpleNamespace()))
    process.state = ProcessStates.STARTING

    process.change_state(ProcessStates.BACKOFF)
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert 0.0 <= process.waits_s(clock.monotonic_s(), is_running=True) <= 0.1
    process._check_and_adjust_for_system_clock_rollback(clock.monotonic_s())
    assert process.waits_s(clock.monotonic_s() + 0.1, is_running=True) == 0.0


class FullDisk(io.BytesIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_costs_lines_and_never_the_supervisor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "process-web.log"
    log = PatientLogger()
    handle_file(log, str(place), "%(message)s\n", rotating=True, maxbytes=40, backups=1)
    log.info("before")

    log.handlers[0].stream = FullDisk()
    log.info("lost")
    # What a rotation leaves that could not be finished.
    log.handlers[0].stream.close()
    log.info("lost, too")
    for number in range(10):
        log.info("line %(number)d", number=number)

    kept = place.read_text() + (tmp_path / "process-web.log.1").read_text()
    assert "line 9" in kept
    assert "lost" not in kept
    assert capsys.readouterr().err == ""
