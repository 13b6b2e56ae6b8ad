"""stationctl reaches the station's own commands and nothing of Django's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import find_commands, get_commands

from station.management.own_commands import COMMANDS, OF_SYSTEMD, NoSuchCommand, answer, listing

ROOT = Path(__file__).resolve().parents[4]


def untranslated(text: str) -> str:
    return text


def call(*arguments: str, data: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "STATION_DATA_DIR": str(data)}
    return subprocess.run(
        [sys.executable, ROOT / "manage.py", "stationctl", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def test_every_command_of_the_station_is_offered_but_those_of_systemd() -> None:
    assert set(find_commands(str(ROOT / "station/management"))) == set(COMMANDS) | OF_SYSTEMD


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"], ["help", "--lang", "de"], ["--lang", "de"]])
def test_without_a_command_all_of_them_are_listed(arguments: list[str]) -> None:
    assert answer(arguments, untranslated) == listing(untranslated)


@pytest.mark.parametrize(
    "arguments", [["--lang", "de", "backup", "x.zip"], ["--lang=de", "backup"], ["--data-dir", "/nowhere", "doctor"]]
)
def test_a_command_behind_an_option_does_not_pass_for_done(arguments: list[str]) -> None:
    with pytest.raises(NoSuchCommand, match="The command comes first"):
        answer(arguments, untranslated)


def test_a_terminal_of_another_time_gets_question_marks_instead_of_a_traceback(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, ROOT / "manage.py", "stationctl", "help", "--lang", "de"],
        capture_output=True,
        check=False,
        env={"PATH": os.environ["PATH"], "STATION_DATA_DIR": str(tmp_path), "PYTHONIOENCODING": "ascii:strict"},
    )

    assert told.returncode == 0
    assert b"Traceback" not in told.stderr


@pytest.mark.parametrize("arguments", [["doctor"], ["help", "config"], ["config", "--help"]])
def test_the_stations_own_commands_are_run(arguments: list[str]) -> None:
    assert answer(arguments, untranslated) is None


@pytest.mark.parametrize("name", [*sorted(set(get_commands()) - set(COMMANDS)), "help flush", "stationctl", "docter"])
def test_nothing_else_can_be_called(name: str) -> None:
    with pytest.raises(NoSuchCommand, match="doctor"):
        answer(name.split(), untranslated)


def test_stationctl_calls_itself_by_its_name_and_lists_in_german(tmp_path: Path) -> None:
    listed = call("help", "--lang", "de", data=tmp_path)
    refused = call("flush", data=tmp_path / "never")
    helped = call("help", "config", data=tmp_path)
    german = [call(*words, "--lang", "de", data=tmp_path) for words in (("help", "config"), ("config", "--help"))]

    assert (listed.returncode, listed.stderr) == (0, "")
    assert "sagt, was fehlt" in listed.stdout
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "no command “flush”" in refused.stderr
    # Whoever mistypes a command has not made a station.
    assert not (tmp_path / "never").exists()
    assert helped.stdout.startswith("usage: stationctl config")
    # argparse has no German.
    assert "(auf Englisch)" in listed.stdout
    for each in german:
        assert each.stdout.startswith(
            "config: liest und ändert Einstellungen\nDie Einzelheiten gibt es nur auf Englisch:\n"
        )
        assert "usage: stationctl config" in each.stdout
        assert each.returncode == 0
