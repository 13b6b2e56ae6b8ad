"""The power is cut from a machine whose disk loses what it had not flushed; the next boot finishes the books.

The short form cuts once, in the middle of a session. The long form (STATION_IMAGE_CUTS, 50) cuts at random moments of
sessions and first boots; every second disk does not lose all that was not flushed, but a random part of it.
"""

import json
import os
import random
import re
import shlex
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.backend import Backend
from tests.image import built
from tests.image.bench import CARD, PATIENCE_S, SERIAL, Bench, new_disk
from tests.image.disks import TornDisk, alternate, kind
from tests.station import wait_until

SEED = int(os.environ.get("STATION_IMAGE_SEED", "1"))
CUTS = int(os.environ.get("STATION_IMAGE_CUTS", "50"))
FIGURES = built.CACHE / "power_cuts.jsonl"
# 32 A on three phases: what a car draws here in a second, rounded up.
WH_PER_S = 7
# From the switch to a station that charges, with some to spare: cuts fall into all of it.
FIRST_BOOT_S = 120.0

# Counts in a block that lies on the disk already, past every cache of the guest and without asking the disk to flush.
COUNT = """
import mmap, os, sys
block = mmap.mmap(-1, 4096)
place = os.open(sys.argv[1], os.O_RDWR | os.O_DIRECT)
number = 0
while True:
    number += 1
    block[:8] = b"%08d" % number
    os.pwrite(place, block, 0)
    os.preadv(place, [block], 0)
    os.write(1, b"read back %d.\\n" % int(block[:8]))
"""
INTEGRITY = (
    "import sqlite3; print(*sqlite3.connect('/var/lib/station/station.sqlite3').execute('PRAGMA integrity_check'))"
)


def register_wh(sent: dict[str, Any]) -> list[int]:
    """Return the registers of a MeterValues."""
    values = [sampled for value in sent["meterValue"] for sampled in value["sampledValue"]]
    return [
        round(float(one["value"]) * (1000 if one.get("unit") == "kWh" else 1))
        for one in values
        if one.get("measurand", "Energy.Active.Import.Register") == "Energy.Active.Import.Register"
        and "phase" not in one
    ]


def told_wh(bench: Bench, transaction: int) -> int:
    """Return the highest register that the backend was told of a transaction."""
    sent = [one.payload for one in bench.backend.received("MeterValues")]
    return max((wh for one in sent if one.get("transactionId") == transaction for wh in register_wh(one)), default=0)


def complaints(bench: Bench) -> list[str]:
    """Say what is not as it must be after a cut, once nothing is owed to the backend any more."""
    books = bench.backend.books
    found = [f"{one.kind}: {one.detail}" for one in books.irregularities]
    found += [f"never stopped: {one}" for one in books.open_transactions()]
    found += [f"schema: {one.reason}" for one in bench.backend.schema_errors]
    integrity = bench.machine.run(f"runuser -u station -- python3 -c {shlex.quote(INTEGRITY)}").strip()
    found += [] if integrity == "('ok',)" else [f"database: {integrity}"]
    status, health = bench.health()
    found += [] if status == 200 and "details" not in health else [f"healthz: {health}"]
    return found


def wait_until_delivered(bench: Bench) -> None:
    """Wait until the backend has a stop for every start."""
    wait_until(lambda: not bench.backend.books.open_transactions(), timeout_s=PATIENCE_S, what="every StopTransaction")


# --- the short form -------------------------------------------------------------------------------------------------


def test_after_a_power_cut_in_a_session_the_next_boot_stops_it_with_the_last_register(bench: Bench) -> None:
    machine = bench.machine
    if not bench.backend.received("BootNotification"):
        bench.connect_to_backend()
    network = machine.run("cat /etc/NetworkManager/system-connections/* 2>/dev/null || true")
    begun = bench.begin_session(1, CARD)
    transaction = bench.backend.wait_until(lambda seen: seen.books.open_transactions())[0].transaction_id
    wait_until(
        lambda: told_wh(bench, transaction) > begun["meterStart"] + 20, timeout_s=PATIENCE_S, what="a MeterValues"
    )
    machine.run(
        "cd /data && head -c 4096 /dev/zero | tee forgotten >kept && sync -f . && echo kept | dd of=kept conv=fsync"
    )
    counting = len(machine.console.text)
    machine.write("/run/count.py", COUNT)
    machine.console.type("/usr/bin/python3 /run/count.py /data/forgotten\n")
    machine.wait_for_text("read back 200.", after=counting, timeout_s=PATIENCE_S)
    mark, told_before_wh = bench.backend.mark(), told_wh(bench, transaction)
    at_cut_wh, asked_s = bench.connector(1)["energy_wh"], time.monotonic()

    machine.cut()
    at_cut_wh += (time.monotonic() - asked_s) * WH_PER_S

    read_back = [int(number) for number in re.findall(r"read back (\d+)\.", machine.console.text[counting:])]
    bench.start()
    stopped = bench.backend.wait_for("StopTransaction", after=mark, timeout=PATIENCE_S).payload
    # The disk has really lost something: the guest had read more than is there now. What was flushed is there.
    assert int(machine.run("head -c 8 /data/forgotten").strip("\0 \n") or 0) < read_back[-1]
    assert machine.run("head -c 4 /data/kept") == "kept"
    assert stopped["transactionId"] == transaction
    assert stopped["reason"] == "PowerLoss"
    assert told_before_wh - 1 <= stopped["meterStop"] <= at_cut_wh + 1
    wait_until_delivered(bench)
    assert complaints(bench) == []
    assert machine.run("cat /etc/NetworkManager/system-connections/* 2>/dev/null || true") == network
    assert machine.run("systemctl --failed --no-legend --plain") == ""
    # And the next car charges.
    bench.begin_session(1)
    bench.sim("/connectors/1/unplug")
    wait_until_delivered(bench)


# --- the long form --------------------------------------------------------------------------------------------------


class Life:
    """A station that loses its power again and again."""

    def __init__(self, bench: Bench, image: Path, dice: random.Random) -> None:
        self.bench, self.image, self.dice = bench, image, dice
        self.disk = bench.machine.scratch / "disk.img"
        self.is_new = True
        self.lost = self.torn = 0

    def change_disk(self) -> str:
        """Take the other kind of disk while the machine is off; return which kind it had."""
        machine = self.bench.machine
        was = kind(machine.disk)
        machine.disk = alternate(machine.disk, machine.scratch, self.dice)
        return was

    def cut_within(self, seconds: float) -> float:
        """Cut the power at a moment nobody has chosen."""
        moment_s = self.dice.uniform(0, seconds)
        time.sleep(moment_s)
        self.bench.machine.cut()
        if isinstance(self.bench.machine.disk, TornDisk):
            self.lost += self.bench.machine.disk.lost
            self.torn += self.bench.machine.disk.torn
        return moment_s


def in_a_first_boot(life: Life) -> float:
    life.bench.machine.kill()
    life.disk.unlink()
    new_disk(life.image, life.disk)
    life.is_new = True
    life.bench.machine.start()
    return life.cut_within(FIRST_BOOT_S)


def in_a_later_boot(life: Life) -> float:
    life.bench.machine.kill()
    life.bench.machine.start()
    return life.cut_within(FIRST_BOOT_S)


def while_a_card_is_judged(life: Life) -> float:
    life.bench.sim("/connectors/1/plug")
    life.bench.sim("/reader/swipe", uid=CARD)
    return life.cut_within(5.0)


def while_charging(life: Life) -> float:
    life.bench.begin_session(1)
    return life.cut_within(15.0)


def while_unplugging(life: Life) -> float:
    life.bench.begin_session(1)
    life.bench.sim("/connectors/1/unplug")
    return life.cut_within(5.0)


def while_charging_without_a_backend(life: Life) -> float:
    life.bench.begin_session(1)
    life.bench.backend.stop_listening()
    try:
        return life.cut_within(15.0)
    finally:
        life.bench.backend.listen()


# Moments of an update: `tests/image/test_updates.py`.
MOMENTS: list[Callable[[Life], float]] = [
    in_a_first_boot,
    in_a_later_boot,
    while_a_card_is_judged,
    while_charging,
    while_unplugging,
    while_charging_without_a_backend,
]


@pytest.mark.long
def test_whenever_the_power_is_cut_the_station_boots_and_the_books_are_right(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dice = random.Random(SEED)
    rounds = -(-CUTS // len(MOMENTS))
    plan = [moment for _ in range(rounds) for moment in dice.sample(MOMENTS, len(MOMENTS))][:CUTS]
    scratch = built.scratch_directory()
    done = 0
    with Backend.threaded(interval_s=60) as backend:
        bench = Bench.over(new_disk(image, scratch / "disk.img"), scratch, backend)
        life = Life(bench, image, dice)
        try:
            bench.start()
            judge(life, 0)
            for number, moment in enumerate(plan):
                where = f"seed {SEED}, cut {number}, {moment.__name__}"
                after_s = moment(life)
                was = life.change_disk()
                mark = backend.mark()
                bench.start()
                found = judge(life, mark)
                note(moment=moment.__name__, disk=was, after_s=after_s, problems=found)
                assert not found, f"{where} after {after_s:.2f} s:\n" + "\n".join(found)
                done += 1
        finally:
            bench.close()
            built.clear(scratch)
            with capsys.disabled():
                sys.stdout.write(f"\n{bound(done)} Torn disks lost {life.lost} writes and tore {life.torn}.\n")


def judge(life: Life, mark: int) -> list[str]:
    """Connect a station that has booted, a new one too, and say what is wrong with it and its books."""
    bench = life.bench
    # Whoever is still signed in is led on from there.
    bench.person.cookies.clear()
    status, page = bench.person.ask("GET", "/login")
    if status != 200 or SERIAL not in page:
        return [f"the log-in page: {status}, {SERIAL in page}"]
    if bench.machine.run("test -e /efi/station-provision.json && echo there || true"):
        return ["the factory's file is still there"]
    if life.is_new:
        bench.connect_to_backend()
        life.is_new = False
    else:
        bench.wait_accepted(after=mark)
    wait_until_delivered(bench)
    return complaints(bench)


def note(**figures: Any) -> None:
    """Keep a figure: a long run that is interrupted has not been in vain."""
    with FIGURES.open("a") as file:
        file.write(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), "seed": SEED, **figures}) + "\n")


def bound(cuts: int) -> str:
    """Return what so many cuts without a failure allow to say."""
    if not cuts:
        return "No cut was judged."
    return f"{cuts} cuts without a failure: per cut < {300 / cuts:.1f} % (95 %, 0 of {cuts})."
