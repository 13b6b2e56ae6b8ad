"""The image for arm64, booted: it charges, and says what the idle station takes there."""

import time
from collections.abc import Iterator

import pytest

from tests.image import built
from tests.image.bench import PATIENCE_S, SERIAL, Bench, first_boot
from tests.image.machines import ARM64
from tests.station import wait_until

# Another machine, and another image to build.
pytestmark = pytest.mark.long

FIGURES = built.CACHE / "arm64.txt"
SETTLES_S, MEASURED_S = 60.0, 60.0
UNITS = ("station-hardware", "station-ocpp", "station-web", "station-worker", "station-redis")
# Bytes and microseconds of each unit.
MEMORY = (
    "for unit in {units}; do for process in $(cat /sys/fs/cgroup/system.slice/$unit.service/cgroup.procs); do"
    ' echo "$unit $(grep ^Pss: /proc/$process/smaps_rollup)"; done; done'
)
PROCESSOR = (
    'for unit in {units}; do echo "$unit $(grep ^usage_usec /sys/fs/cgroup/system.slice/$unit.service/cpu.stat)"; done'
)


@pytest.fixture(scope="module")
def board() -> Iterator[Bench]:
    with first_boot(built.image_under_test("arm64"), ARM64) as station:
        yield station


def by_unit(said: str) -> dict[str, int]:
    """Add up what lines of UNIT, a word and a number say."""
    found = dict.fromkeys(UNITS, 0)
    for line in said.splitlines():
        unit, _, number = line.split()[:3]
        found[unit] += int(number)
    return found


def test_it_boots_as_a_station_for_arm64(board: Bench) -> None:
    assert board.machine.run("uname -m").strip() == "aarch64"
    assert SERIAL in board.person.ask("GET", "/login")[1]
    assert board.machine.run("systemctl --failed --no-legend --plain") == ""


def test_a_session_is_booked_with_the_energy_of_the_meter(board: Bench) -> None:
    board.connect_to_backend()
    begun = board.begin_session(1)
    wait_until(lambda: board.connector(1)["energy_wh"] > begun["meterStart"] + 20, timeout_s=PATIENCE_S, what="20 Wh")
    board.sim("/connectors/1/unplug")

    ended = board.backend.wait_for("StopTransaction", timeout=PATIENCE_S).payload
    assert ended["meterStop"] == pytest.approx(board.connector(1)["energy_wh"], abs=1)
    assert board.backend.books.irregularities == []


def test_what_the_idle_station_takes_is_written_down(board: Bench) -> None:
    units = " ".join(UNITS)
    time.sleep(SETTLES_S)
    before_us = by_unit(board.machine.run(PROCESSOR.format(units=units)))
    begun_s = time.monotonic()
    time.sleep(MEASURED_S)
    after_us = by_unit(board.machine.run(PROCESSOR.format(units=units)))
    minutes = (time.monotonic() - begun_s) / 60
    memory_kib = by_unit(board.machine.run(MEMORY.format(units=units)))

    assert all(memory_kib.values())
    lines = [
        f"{unit} {memory_kib[unit] / 1024:.1f} MiB, {(after_us[unit] - before_us[unit]) / 1e6 / minutes:.2f} s/min"
        for unit in UNITS
    ]
    spent_s = (sum(after_us.values()) - sum(before_us.values())) / 1e6 / minutes
    lines.append(f"all {sum(memory_kib.values()) / 1024:.1f} MiB, {spent_s:.2f} s/min (an emulated processor)")
    FIGURES.write_text("\n".join(lines) + "\n")
