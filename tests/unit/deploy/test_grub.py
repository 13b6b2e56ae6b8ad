"""Which slot the boot loader starts: its own script, run by a shell, on computers that hang and lose their power."""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

SCRIPT = Path(__file__).parents[3] / "deploy/image/grub.cfg"
NAMES = ("ORDER", "A_OK", "A_TRY", "B_OK", "B_TRY", "LAST", "GOOD")
FRESH = {"ORDER": "A B", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "0", "GOOD": "A"}
# GRUB's language is nearly a shell's; what it does to the computer is printed instead.
_SURROUNDINGS = """
serial() { :; }; terminal_input() { :; }; terminal_output() { :; }; load_env() { :; }; regexp() { :; }; probe() { :; }
sleep() { :; }; disk=hd0
linux() { echo "start $slot"; [ "$slot" != "$EMPTY" ]; }
initrd() { :; }
boot() { exit; }
reboot() { exit; }
save_env() { shift 2; for name in "$@"; do echo "save $name=${!name}"; done; }
"""


def as_shell(script: str) -> str:
    script = re.sub(r"\(\$(\w+)(?:,\$\w+)?\)", r"$\1", script)
    return _SURROUNDINGS + re.sub(r"^(\s*)set (\w+=)", r"\1\2", script, flags=re.MULTILINE)


SHELL = as_shell(SCRIPT.read_text())


@dataclass
class Computer:
    """Two slots, the boot loader's memory, and RAUC, which writes it. `content`: works, hangs or is empty."""

    memory: dict[str, str] = field(default_factory=lambda: dict(FRESH))
    content: dict[str, str] = field(default_factory=lambda: {"A": "works", "B": "works"})
    running: str = ""

    def start(self) -> str:
        """Let the boot loader start a slot; return which."""
        empty = next((slot for slot in "AB" if self.content[slot] == "empty"), "")
        environment = {name: self.memory.get(name, "") for name in NAMES} | {"EMPTY": empty, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", SHELL], env=environment, capture_output=True, text=True, check=True)
        assert not done.stderr
        started = ""
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word == "save":
                name, _, value = rest.partition("=")
                self.memory[name] = value
            elif word == "start":
                started = rest
        assert started
        self.running = started if self.content[started] == "works" else ""
        return started

    def mark_good(self) -> None:
        self.memory |= {f"{self.running}_OK": "1", f"{self.running}_TRY": "0"}

    def use(self) -> str:
        """Start again and again, as the watchdog does, until something works; return which slot."""
        for _ in range(8):
            if self.start() and self.running:
                self.mark_good()
                return self.running
        raise AssertionError(f"it never works: {self.memory} {self.content}")

    def install(self, content: str) -> None:
        """Write the other slot as RAUC does: bad first, then everything, then good and first."""
        self.begin_installation()
        free = self.free
        self.content[free] = content
        self.memory |= {f"{free}_OK": "1", f"{free}_TRY": "0", "ORDER": f"{free} {self.running}"}

    def begin_installation(self) -> None:
        self.memory |= {f"{self.free}_OK": "0", f"{self.free}_TRY": "0"}
        self.content[self.free] = "empty"

    @property
    def free(self) -> str:
        return "B" if self.running == "A" else "A"

    def tear(self) -> None:
        """Lose the power in the middle of writing grubenv."""
        self.memory = {"GOOD": self.memory["GOOD"]}


@pytest.fixture
def computer() -> Computer:
    computer = Computer()
    assert computer.use() == "A"
    return computer


def test_a_new_version_is_started_and_kept(computer: Computer):
    computer.install("works")

    assert computer.use() == "B"
    assert computer.start() == "B"


def test_a_new_version_that_hangs_is_tried_twice_and_then_left_alone(computer: Computer):
    computer.install("hangs")

    assert [computer.start(), computer.start(), computer.start()] == ["B", "B", "A"]
    computer.mark_good()
    assert computer.start() == "A"


def test_a_power_cut_in_the_first_start_of_a_new_version_costs_nothing(computer: Computer):
    computer.install("works")
    computer.start()

    assert computer.use() == "B"


def test_power_cuts_in_a_row_do_not_bring_an_older_version_back(computer: Computer):
    computer.install("works")
    computer.use()
    computer.start()
    computer.start()

    assert computer.use() == "B"


def test_after_the_way_back_power_cuts_do_not_start_the_slot_that_hangs(computer: Computer):
    computer.install("hangs")
    for _ in range(8):
        computer.start()

    assert computer.start() == "A"


def test_a_slot_that_is_being_written_is_not_started(computer: Computer):
    computer.begin_installation()

    assert computer.use() == "A"
    assert [computer.start() for _ in range(5)] == ["A"] * 5


def test_a_slot_without_a_kernel_makes_way_for_the_other(computer: Computer):
    computer.content["A"] = "empty"

    assert computer.use() == "B"


def test_software_that_is_marked_bad_makes_way(computer: Computer):
    computer.install("works")
    computer.start()
    # RAUC: bad booted, active other.
    computer.memory |= {"B_OK": "0", "B_TRY": "0", "A_OK": "1", "A_TRY": "0", "ORDER": "A B"}

    assert computer.use() == "A"


def test_a_torn_memory_starts_what_was_good_last(computer: Computer):
    computer.install("works")
    computer.use()
    computer.start()
    computer.mark_good()
    computer.tear()

    assert computer.use() == "B"


steps = st.lists(st.sampled_from(["good", "bad", "cut", "interrupt", "tear", "restart"]), max_size=10)


@settings(max_examples=40, deadline=None)
@given(steps)
def test_whatever_happens_something_that_works_is_started(happened: list[str]):
    computer = Computer()
    running = computer.use()
    for step in happened:
        match step:
            case "good":
                computer.install("works")
            case "bad":
                computer.install("hangs")
            case "cut":
                computer.start()
            case "interrupt":
                computer.begin_installation()
            case "tear":
                computer.tear()
        before, running = running, computer.use()
        if step == "good":
            assert running != before
        if step in {"bad", "interrupt", "restart"}:
            assert running == before
