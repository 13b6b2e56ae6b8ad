"""Who cannot have the hardware alone does not begin to control it."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from station import clock
from station.host.crash_record import CrashRecord
from station.paths import DataDirectory
from station.processes import child, energy, lock


@pytest.fixture(autouse=True)
def _nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    def begins(*_: object) -> int:
        raise AssertionError("it was not refused")

    monkeypatch.setattr(child, "run", begins)
    monkeypatch.setattr(lock, "WITHDRAWAL_S", 0.0)
    monkeypatch.setattr(lock, "_LOOKING_S", 0.0)
    for name in ("STATION_HTTP_ORIGINS", "STATION_DISPLAY_PORT"):
        monkeypatch.setenv(name, "")


def test_a_second_control_is_refused_in_words_and_does_not_count_as_a_crash(data: DataDirectory) -> None:
    CrashRecord(data, crashes_allowed=5).begin(clock.monotonic_s())
    before = (data.run / "control_loop.json").read_text()

    with lock.uncontrolled(data):
        for language, words in (("en", "controls the hardware of"), ("de", "steuert die Hardware von")):
            with pytest.raises(CommandError, match=words):
                call_command("runprocess", "hardware", "--lang", language)

    assert (data.run / "control_loop.json").read_text() == before


def test_a_control_that_cannot_make_its_lock_withdraws_energy(
    data: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    withdrawn: list[Path] = []
    monkeypatch.setattr(energy, "withdraw", lambda plan: withdrawn.append(plan.data))
    data.controlled.mkdir()

    with pytest.raises(OSError, match="controlled"):
        call_command("runprocess", "hardware")

    assert withdrawn == [data.root]
