"""What the command line says when the data directory cannot be used, before there is any Django."""

import errno
from pathlib import Path

import pytest

import manage
from station.paths import DataDirectoryRefused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["hardware", "check"], "Make room there"), (["hardware", "check", "--lang", "de"], "Schaffen Sie dort Platz")],
)
def test_a_refused_data_directory_is_told_in_the_language_asked_for(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
):
    monkeypatch.setattr("sys.argv", ["manage.py", *arguments])

    assert words in manage._said(DataDirectoryRefused.because_of("No space left on device", "/data"))


def test_a_file_of_somebody_else_in_the_data_directory_is_no_traceback(tmp_path: Path):
    ours = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "hardware.json"))
    elsewhere = PermissionError(errno.EACCES, "Permission denied", "/etc/shadow")

    explained = manage._refusal(ours, str(tmp_path))

    assert explained is not None
    assert "hardware.json" in str(explained)
    assert "sudo stationctl" in str(explained)
    assert manage._refusal(elsewhere, str(tmp_path)) is None


def test_a_broken_pipe_of_another_kind_stays_a_failure(monkeypatch: pytest.MonkeyPatch):
    def run() -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(manage, "_run", run)

    with pytest.raises(BrokenPipeError):
        manage.main()
