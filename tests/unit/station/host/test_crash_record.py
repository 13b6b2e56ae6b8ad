from pathlib import Path

import pytest

from station.domain.crash_guard import CRASHES, CrashCause
from station.host.crash_record import CrashRecord
from station.paths import DataDirectory


@pytest.fixture
def data(tmp_path: Path) -> DataDirectory:
    directory = DataDirectory(tmp_path / "station")
    directory.create()
    return directory


def record(data: DataDirectory, boot_id: str = "this boot") -> CrashRecord:
    return CrashRecord(data, boot_id=lambda: boot_id)


def crash(data: DataDirectory, times: int = CRASHES, cause: CrashCause | None = None) -> None:
    for number in range(times):
        run = record(data)
        run.begin(1000.0 + number)
        if cause is not None:
            run.note_cause(cause)


def test_crashes_lead_to_safe_mode_with_the_cause_of_the_last_one(data: DataDirectory) -> None:
    crash(data, cause=CrashCause.EXCEPTION)

    history = record(data).begin(1010.0)

    assert history.is_safe_mode
    assert history.cause is CrashCause.EXCEPTION


def test_an_end_in_order_forgets_everything(data: DataDirectory) -> None:
    crash(data)
    record(data).forget()

    assert not record(data).begin(1010.0).is_safe_mode


def test_another_boot_begins_anew(data: DataDirectory) -> None:
    crash(data)

    assert not record(data, "another boot").begin(10.0).is_safe_mode


def test_safe_mode_that_ends_itself_is_followed_by_a_try(data: DataDirectory) -> None:
    crash(data)
    safe = record(data)
    safe.begin(1010.0)
    safe.try_again(1020.0)

    assert not record(data).begin(1021.0).is_safe_mode


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot_id": "this boot"}', '{"boot_id": "this boot", "crashes": 1}'])
def test_a_broken_file_is_no_history(data: DataDirectory, text: str) -> None:
    (data.run / "control_loop.json").write_text(text)

    assert record(data).begin(1000.0).crashes == ()
