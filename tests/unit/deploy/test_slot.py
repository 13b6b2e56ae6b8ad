"""What is done for the slot that has started: marked good at once, or given a time limit while it is on trial."""

import json
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy/image/root/usr/lib/station/slot"
# Instead of doing something to the computer, each program says what it was asked for.
_PROGRAMS = ("busctl", "sleep")


class Computer:
    def __init__(self, directory: Path, *, rauc_fails: bool = False) -> None:
        self.slots, self.command_line, programs = directory / "slots", directory / "cmdline", directory / "bin"
        self.slots.mkdir()
        programs.mkdir()
        self.command_line.write_text("root=PARTUUID=1 ro rauc.slot=B panic=10\n")
        for name in _PROGRAMS:
            (programs / name).write_text(f'#!/bin/sh\necho "{name} $*"\nexit {int(rauc_fails)}\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        text = SCRIPT.read_text().replace("=/var/lib/station/files/slots", f"={self.slots}")
        text = text.replace("=/data/station/files/slots", f"={directory}/data")
        self.script = directory / "slot"
        self.script.write_text(text.replace("/proc/cmdline", str(self.command_line)))
        self.waited: list[str] = []
        self.path = f"{programs}:/usr/bin:/bin"

    def installed(self, bootname: str, *, confirmed: bool) -> None:
        state = {"ticket": "1", "slot": "rootfs.1", "bootname": bootname, "written": True, "confirmed": confirmed}
        (self.slots / "rauc.json").write_text(json.dumps(state))

    def run(self, word: str) -> list[str]:
        done = self._run(word)
        assert not done.stderr
        # Software that has not proved itself is a failure of the unit; systemd restarts the computer upon it.
        assert bool(done.returncode) == (word in {"give-up", "emergency"})
        calls = [line.split(" Mark ss ") for line in done.stdout.splitlines() if line.startswith("busctl")]
        assert all(" de.pengutronix.rauc / de.pengutronix.rauc.Installer" in call[0] for call in calls)
        self.waited = re.findall(r"^sleep (\d+)$", done.stdout, re.MULTILINE)
        return [call[1] for call in calls]

    def is_on_trial(self) -> bool:
        """Return whether systemd goes on to give the slot up."""
        return self._run("on-trial").returncode == 0

    def _run(self, word: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", self.script, word], env={"PATH": self.path}, capture_output=True, text=True, check=False
        )


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_software_on_trial_is_not_marked_and_has_a_time_limit(computer: Computer):
    computer.installed("B", confirmed=False)

    assert computer.run("started") == []
    assert computer.is_on_trial()


@pytest.mark.parametrize(("bootname", "confirmed"), [("B", True), ("A", False), ("A", True)])
def test_software_that_was_kept_or_came_back_is_marked_good_at_once(
    computer: Computer, bootname: str, *, confirmed: bool
):
    computer.installed(bootname, confirmed=confirmed)

    assert computer.run("started") == ["good booted"]
    assert not computer.is_on_trial()


def test_a_factory_new_station_is_marked_good(computer: Computer):
    assert computer.run("started") == ["good booted"]
    assert not computer.is_on_trial()


def test_software_that_has_not_proved_itself_is_given_up_with_the_reason(computer: Computer):
    computer.installed("B", confirmed=False)

    assert computer.run("give-up") == ["bad booted", "active other"]
    assert (computer.slots / "gave_up").read_text() == "deadline\n"


def test_a_rauc_that_cannot_note_it_is_asked_for_both_all_the_same(tmp_path: Path):
    computer = Computer(tmp_path, rauc_fails=True)

    assert computer.run("give-up") == ["bad booted", "active other"]


def test_a_start_that_stops_half_way_is_ended_after_a_while(computer: Computer):
    assert computer.run("emergency") == []

    assert computer.waited == ["300"]
    assert not (computer.slots / "gave_up").exists()


def test_software_on_trial_that_stops_half_way_is_soon_ended_with_the_reason(computer: Computer):
    computer.installed("B", confirmed=False)

    assert computer.run("emergency") == []

    assert computer.waited == ["60"]
    assert (computer.slots / "gave_up").read_text() == "emergency\n"


def test_what_is_on_trial_is_known_where_the_data_is_not_in_its_place_yet(computer: Computer):
    computer.installed("B", confirmed=False)
    computer.slots.rename(computer.slots.with_name("data"))

    computer.run("emergency")

    assert computer.waited == ["60"]
