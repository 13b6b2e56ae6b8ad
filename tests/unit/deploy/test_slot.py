"""What is done for the slot that has started: marked good at once, or given a time limit while it is on trial."""

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy/image/root/usr/lib/station/slot"
# Instead of doing something to the computer, each program says what it was asked for.
_PROGRAMS = ("rauc", "systemctl")


class Computer:
    def __init__(self, directory: Path) -> None:
        self.slots, self.command_line, programs = directory / "slots", directory / "cmdline", directory / "bin"
        self.slots.mkdir()
        programs.mkdir()
        self.command_line.write_text("root=PARTUUID=1 ro rauc.slot=B panic=10\n")
        for name in _PROGRAMS:
            (programs / name).write_text(f'#!/bin/sh\necho "{name} $*"\n')
        (programs / "runuser").write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
        for program in programs.iterdir():
            program.chmod(0o755)
        text = SCRIPT.read_text().replace("/var/lib/station/files/slots", str(self.slots))
        self.script = directory / "slot"
        self.script.write_text(text.replace("/proc/cmdline", str(self.command_line)))
        self.path = f"{programs}:/usr/bin:/bin"

    def installed(self, bootname: str, *, confirmed: bool) -> None:
        state = {"ticket": "1", "slot": "rootfs.1", "bootname": bootname, "written": True, "confirmed": confirmed}
        (self.slots / "rauc.json").write_text(json.dumps(state))

    def run(self, word: str) -> list[str]:
        done = subprocess.run(
            ["sh", self.script, word], env={"PATH": self.path}, capture_output=True, text=True, check=True
        )
        assert not done.stderr
        return [line for line in done.stdout.splitlines() if line.startswith(_PROGRAMS)]


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_software_on_trial_gets_a_time_limit_and_is_not_marked(computer: Computer):
    computer.installed("B", confirmed=False)

    assert computer.run("started") == ["systemctl start --no-block station-trial.timer"]


@pytest.mark.parametrize(("bootname", "confirmed"), [("B", True), ("A", False), ("A", True)])
def test_software_that_was_kept_or_came_back_is_marked_good_at_once(
    computer: Computer, bootname: str, *, confirmed: bool
):
    computer.installed(bootname, confirmed=confirmed)

    assert computer.run("started") == ["rauc status mark-good booted"]
    assert computer.run("deadline") == []


def test_a_factory_new_station_is_marked_good(computer: Computer):
    assert computer.run("started") == ["rauc status mark-good booted"]


def test_software_that_has_not_proved_itself_is_given_up_with_the_reason(computer: Computer):
    computer.installed("B", confirmed=False)

    assert computer.run("deadline") == [
        "rauc status mark-bad booted",
        "rauc status mark-active other",
        "systemctl reboot",
    ]
    assert (computer.slots / "gave_up").read_text() == "deadline\n"
