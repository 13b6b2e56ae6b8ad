"""The watchdog is armed before anything that may hang, whatever its driver can count to."""

import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
SCRIPT = DEPLOY / "image/initramfs/scripts/init-premount/watchdog"
_MODPROBE = """\
#!/bin/sh
echo "modprobe $*" >>{calls}
[ "$2" = {module} ] || exit 1
mkdir -p {sys}
echo "{timeout}" >{sys}/timeout
echo "{most}" >{sys}/max_timeout
echo "{identity}" >{sys}/identity
: >{device}
"""


class Computer:
    """One with this watchdog, or with none."""

    def __init__(
        self, directory: Path, module: str = "", timeout: int = 120, most: int = 0, identity: str = ""
    ) -> None:
        self.run, self.calls, self.device = directory / "run", directory / "calls", directory / "watchdog"
        programs, sys = directory / "bin", directory / "sys"
        for each in (self.run, programs):
            each.mkdir()
        names = {"calls": self.calls, "sys": sys, "device": self.device}
        self._program(
            programs / "modprobe",
            _MODPROBE.format(module=module or "none", timeout=timeout, most=most, identity=identity, **names),
        )
        self._program(programs / "sleep", f'#!/bin/sh\necho "sleep $1" >>{self.calls}\n')
        text = SCRIPT.read_text().replace("-c /dev/watchdog", f"-e {self.device}")
        text = text.replace(">/dev/watchdog", f">>{self.device}").replace("/sys/class/watchdog/watchdog0", f"{sys}")
        text = text.replace("/run/", f"{self.run}/").replace("/dev/kmsg", f"{directory}/kmsg")
        # The one that feeds goes on beside it.
        done = subprocess.run(
            ["sh", "-c", f"{text.removesuffix('exit 0' + chr(10))}\nwait"],
            env={"PATH": f"{programs}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert not done.stderr

    def _program(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def loaded(self, module: str) -> str:
        """Return the option that a driver was loaded with."""
        (line,) = [line for line in self.calls.read_text().splitlines() if line.startswith(f"modprobe -q {module}")]
        return line.removeprefix(f"modprobe -q {module}").strip()

    def said(self) -> list[str]:
        return self.device.read_text().split()

    def settings(self) -> list[str]:
        """Return what systemd is told because of this watchdog."""
        file = self.run / "systemd/system.conf.d/60-station-watchdog.conf"
        return file.read_text().split() if file.exists() else []


def test_a_watchdog_that_counts_far_enough_is_armed_and_left_alone(tmp_path: Path):
    computer = Computer(tmp_path, "iTCO_wdt", most=613)

    assert computer.loaded("iTCO_wdt") == "heartbeat=120"
    assert computer.said() == ["armed"]
    assert computer.settings() == []
    assert not (computer.run / "station-watchdog-feeder").exists()


@pytest.mark.parametrize("most", [15, 0])
def test_that_of_a_raspberry_pi_is_never_told_more_than_it_counts_to(tmp_path: Path, most: int):
    # Older drivers tell their limit, newer ones none, and both take what is left over of 120 s for 120 s.
    computer = Computer(tmp_path, "bcm2835_wdt", timeout=15, most=most, identity="Broadcom BCM2835 Watchdog timer")

    assert computer.loaded("bcm2835_wdt") == ""
    # Fed for 105 s, then it counts down: two minutes, as everywhere.
    assert computer.said() == ["armed", *["alive"] * 35]
    assert computer.settings() == ["[Manager]", "RebootWatchdogSec=15s"]
    assert (computer.run / "station-watchdog-feeder").read_text().strip().isdigit()


def test_one_that_counts_less_than_systemd_asks_for_is_asked_for_less(tmp_path: Path):
    computer = Computer(tmp_path, "sbsa_gwdt", timeout=10, most=10)

    assert computer.loaded("sbsa_gwdt") == "timeout=120"
    assert computer.settings() == ["[Manager]", "RebootWatchdogSec=10s", "RuntimeWatchdogSec=10s"]


def test_systemd_never_asks_for_more_than_a_raspberry_pi_counts_to():
    (line,) = [
        line
        for line in (DEPLOY / "50-station-watchdog.conf").read_text().splitlines()
        if line.startswith("RuntimeWatchdogSec=")
    ]

    assert int(line.removeprefix("RuntimeWatchdogSec=").removesuffix("s")) <= 15
