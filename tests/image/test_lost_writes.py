"""Power cuts by the dozen: the disk as it would be left at many moments of sessions, judged in containers.

A station runs in a container; its data directory lies on a disk that remembers what it has not flushed (NBD, made a
block device by FUSE and a loop). At random moments disk and books of the backend are copied; from each copy two disks
are made: one that has lost everything since the last flush, and one that has kept, lost or torn each write by lot. Each
is repaired as the initrd does it, and a station is started on it that has to finish the books. What the boot loader and
the kernel make of a cut is tried in `test_power_cut`, where a machine itself boots again.
"""

import copy as copies
import json
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ocpp_client.demo_backend.books import Books
from scripts.image.disk import MIB
from scripts.image_tested import ROOT
from tests.backend import Backend, ThreadedBackend
from tests.image import built, disks
from tests.image.bench import CARD, PATIENCE_S
from tests.image.containers import DATA, PYTHON, Container
from tests.image.disks import WITH_US, TornDisk, Unflushed
from tests.image.test_power_cut import CUTS, SEED, bound, note, register_wh
from tests.station import NeverHappened, wait_until

# Of each moment two disks are made.
KINDS = {"lost": ("lost",), "torn": ("kept", "lost", "torn")}
READY_S = 300.0
# As large as a small data partition; few blocks of it are ever written.
SIZE = 512 * MIB
# The user `station` of the image (scripts/image/tree.py).
OWNER = 900
BACKEND, STATION = "192.168.30.2", "192.168.30.15"
# The tools of file systems stand in sbin, which the path of some root shells lacks.
WITH_SBIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

# What the station itself knows of its sessions, and whether it still owes the backend anything.
LOOK = """
import json, sqlite3
database = sqlite3.connect("file:/var/lib/station/station.sqlite3?mode=ro", uri=True)
print(json.dumps({
    "integrity": [row[0] for row in database.execute("PRAGMA integrity_check")],
    "owed": database.execute("SELECT count(*) FROM station_outboxmessage WHERE status != 'delivered'").fetchone()[0],
    "sessions": database.execute(
        "SELECT transaction_id, meter_start_wh, meter_stop_wh, stop_reason, stopped_at IS NOT NULL"
        " FROM station_chargingsession ORDER BY id"
    ).fetchall(),
}))
"""

pytestmark = pytest.mark.long


@dataclass(frozen=True, kw_only=True)
class Photograph:
    """The data partition at one moment, and what the backend knew then."""

    moment: str
    image: Path
    unflushed: Unflushed
    books: Books
    told_wh: int
    # The register when the photograph was done: no session can have ended above it.
    energy_wh: float
    # Files of the simulated world: a meter forgets nothing because the station has lost its power.
    world: Mapping[str, bytes]


class Photographer:
    """Photographs the disk of a running station at moments nobody has chosen."""

    def __init__(self, station: Container, backend: ThreadedBackend, disk: TornDisk, dice: random.Random) -> None:
        self.station, self.backend, self.disk, self.dice = station, backend, disk, dice
        self.taken: list[Photograph] = []

    def take(self, moment: str, within_s: float) -> None:
        """Let a random time pass and take a photograph."""
        # No condition to wait for: it is chance that chooses.
        time.sleep(self.dice.uniform(0, within_s))
        image = self.disk.image.with_suffix(f".{len(self.taken)}")
        with self.disk.held(after_writes=self.dice.randint(1, 12)):
            books = copies.deepcopy(self.backend.books)
            unflushed = self.disk.photograph(image, begin=0, size=SIZE)
        sim = self.station.root / DATA.lstrip("/") / "sim"
        world = {file.name: file.read_bytes() for file in sim.iterdir() if file.suffix in {".json", ".key"}}
        energy_wh = self.station.point()["energy_wh"]
        open_now = [one.transaction_id for one in books.open_transactions()]
        sent = [one.payload for one in self.backend.received("MeterValues")]
        told = [wh for one in sent if one.get("transactionId") in open_now for wh in register_wh(one)]
        self.taken.append(
            Photograph(
                moment=moment,
                image=image,
                unflushed=unflushed,
                books=books,
                told_wh=max(told, default=0),
                energy_wh=energy_wh + 1,
                world=world,
            )
        )


@contextmanager
def block_device(disk: TornDisk, scratch: Path) -> Iterator[Path]:
    """Plug a disk in and mount its file system; without flushing it at the end."""
    exported, mounted = scratch / "exported", scratch / "mounted"
    exported.touch()
    mounted.mkdir()
    disk.start()
    node = f"driver=raw,node-name=disk,file.driver=nbd,file.server.type=unix,file.server.path={disk.socket}"
    export = f"type=fuse,id=export,node-name=disk,mountpoint={exported},writable=on"
    daemon = subprocess.Popen([*WITH_US, "qemu-storage-daemon", "--blockdev", node, "--export", export])
    loop = ""
    try:
        wait_until(lambda: exported.stat().st_size == SIZE, timeout_s=60, what="the disk as a file")
        loop = tool("losetup", "--find", "--show", exported).strip()
        tool("mount", "-t", "ext4", "-o", "noatime,nosuid,nodev", loop, mounted)
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=False, env=WITH_SBIN)
        if loop:
            tool("losetup", "--detach", loop)
        daemon.terminate()
        daemon.wait()
        disk.stop()


def tool(*command: str | Path) -> str:
    """Run a tool of the computer and return what it says."""
    return subprocess.run(command, check=True, capture_output=True, text=True, env=WITH_SBIN).stdout


def connect(station: Container) -> None:
    """Lay the cable between a container and the backend."""
    tool("ip", "address", "add", f"{BACKEND}/24", "dev", station.cable)
    tool("ip", "link", "set", station.cable, "up")
    station.run("ip", "address", "add", f"{STATION}/24", "dev", "host0")
    station.run("ip", "link", "set", "host0", "up")


@contextmanager
def reachable_backend(port: int = 0, books: Books | None = None) -> Iterator[ThreadedBackend]:
    """Serve a backend at the other end of the cable, too."""
    with Backend.threaded(interval_s=60) as backend:
        backend.stop_listening()
        backend.backend.host, backend.backend.port = "0.0.0.0", port
        if books is not None:
            backend.backend.books = books
        backend.listen()
        yield backend


def record(scratch: Path, dice: random.Random, sessions: int) -> tuple[list[Photograph], int]:
    """Run a station that charges car after car; return its photographs, and the port of its backend."""
    disk = TornDisk(scratch / "disk", scratch, dice)
    with disk.image.open("wb") as file:
        file.truncate(SIZE)
    tool("mke2fs", "-q", "-t", "ext4", "-O", "^orphan_file,^metadata_csum_seed", disk.image)
    station = Container(tree=built.CACHE / "root-amd64-test", scratch=scratch / "recorded", name="recorded")
    with block_device(disk, scratch) as data, reachable_backend() as backend:
        try:
            station.mount()
            (data / "station").mkdir(mode=0o700)
            shutil.chown(data / "station", OWNER, OWNER)
            tool("mount", "--bind", data / "station", station.root / DATA.lstrip("/"))
            factory = ROOT / "deploy/image/test/efi/station-provision.json"
            station.write("/efi/station-provision.json", factory.read_text())
            station.start()
            wait_until(station.is_ready, timeout_s=READY_S, what="a station that is ready")
            connect(station)
            keys = (f"/ocpp/url=ws://{BACKEND}:{backend.port}", "/ocpp/reconnectMinS=1", "/ocpp/reconnectMaxS=2")
            manage = ("env", "--chdir=/opt/station", f"STATION_DATA_DIR={DATA}", PYTHON, "manage.py", "config", "set")
            station.run(*manage, *keys, "MeterValueSampleInterval=2", user="station", timeout_s=PATIENCE_S)
            backend.wait_for("StatusNotification", timeout=PATIENCE_S)
            camera = Photographer(station, backend, disk, dice)
            for number in range(sessions):
                charge_one_car(camera, without_backend=number % 2 == 1)
            return camera.taken, backend.port
        finally:
            station.end()


def charge_one_car(camera: Photographer, *, without_backend: bool) -> None:
    """Take five photographs of a session; the backend may be away for most of it."""
    station, backend = camera.station, camera.backend
    mark = backend.mark()
    station.simulator("/connectors/1/plug")
    wait_until(lambda: station.point()["cp_state"] != "A", timeout_s=PATIENCE_S, what="a plugged car")
    station.simulator("/reader/swipe", {"uid": CARD})
    camera.take("while a card is judged", 1.0)
    backend.wait_for("StartTransaction", after=mark, timeout=PATIENCE_S)
    camera.take("while a session begins", 2.0)
    wait_until(lambda: station.point()["power_w"] > 0, timeout_s=PATIENCE_S, what="energy")
    if without_backend:
        backend.stop_listening()
    camera.take("while charging without a backend" if without_backend else "while charging", 8.0)
    station.simulator("/connectors/1/unplug")
    camera.take("while a session ends", 2.0)
    if without_backend:
        backend.listen()
    wait_until(lambda: not backend.books.open_transactions(), timeout_s=PATIENCE_S, what="StopTransaction")
    camera.take("between two sessions", 2.0)
    wait_until(lambda: station.point()["cp_state"] == "A", timeout_s=PATIENCE_S, what="a free point")


def restore(image: Path, scratch: Path) -> Path:
    """Repair a file system as the initrd does it, and return a copy of the station's data directory in it."""
    if subprocess.run(["e2fsck", "-p", image], check=False, capture_output=True, env=WITH_SBIN).returncode >= 4:
        subprocess.run(["e2fsck", "-fy", image], check=False, capture_output=True, env=WITH_SBIN)
    subprocess.run(
        ["debugfs", "-R", f"rdump /station {scratch}", image], check=True, capture_output=True, env=WITH_SBIN
    )
    return scratch / "station"


def finish_the_books(data: Path, scratch: Path, photograph: Photograph, port: int) -> list[str]:
    """Start a station on what a cut has left; return what is wrong once it owes the backend nothing any more."""
    # Each has a cable of its own: the last one's end is taken away some time after its other end.
    station = Container(tree=built.CACHE / "root-amd64-test", scratch=scratch, name=data.parent.name)
    with reachable_backend(port, copies.deepcopy(photograph.books)) as backend:
        try:
            station.mount()
            for name, content in photograph.world.items():
                (data / "sim").mkdir(exist_ok=True)
                (data / "sim" / name).write_bytes(content)
            tool("chown", "--recursive", "--no-dereference", f"{OWNER}:{OWNER}", data / "sim")
            tool("cp", "-a", f"{data}/.", station.root / DATA.lstrip("/"))
            station.start()
            connect(station)
            wait_until(station.is_ready, timeout_s=READY_S, what="a station that is ready")
            backend.wait_for("StatusNotification", timeout=PATIENCE_S)
            wait_until(lambda: look(station)["owed"] == 0, timeout_s=PATIENCE_S, what="nothing owed")
            return wrong(photograph, look(station), backend.books)
        except (NeverHappened, TimeoutError) as problem:
            return [f"{problem}; health: {station.health()}"]
        finally:
            station.end()


def look(container: Container) -> dict:
    """Ask the station's own database."""
    return json.loads(container.said(PYTHON, "-c", LOOK))


def wrong(photograph: Photograph, station: dict, books: Books) -> list[str]:
    """Compare the station's sessions with those of the backend: each begun and ended once, at a true register."""
    found = [f"{one.kind}: {one.detail}" for one in books.irregularities]
    found += [f"never stopped: {one}" for one in books.open_transactions()]
    found += [] if station["integrity"] == ["ok"] else [f"database: {station['integrity']}"]
    kept, known = [row[0] for row in station["sessions"]], [one.transaction_id for one in books.transactions]
    found += [] if kept == known else [f"the station has the sessions {kept}, the backend {known}"]
    for (transaction, start, stop, reason, is_over), booked in zip(
        station["sessions"], books.transactions, strict=False
    ):
        what = f"session {transaction}: {start} to {stop} Wh, {reason}"
        found += [] if is_over else [f"{what} is not over"]
        found += [] if (start, stop) == (booked.meter_start_wh, booked.meter_stop_wh) else [f"{what}: booked {booked}"]
    if station["sessions"]:
        stop = station["sessions"][-1][2] or 0
        is_true = photograph.told_wh - 1 <= stop <= photograph.energy_wh
        found += [] if is_true else [f"{stop} Wh, told {photograph.told_wh}, at most {photograph.energy_wh}"]
    return found


def test_whatever_a_cut_leaves_of_the_last_writes_the_books_are_finished(capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(SEED)
    built.image_under_test("amd64")
    scratch = built.scratch_directory()
    scratch.chmod(0o755)
    sessions = -(-CUTS // (5 * len(KINDS)))
    failures, fates, done = [], Counter[str](), Counter[str]()
    try:
        photographs, port = record(scratch, dice, sessions)
        for number, photograph in enumerate(photographs):
            for kind, drawn in KINDS.items():
                place = scratch / f"{number}-{kind}"
                place.mkdir(mode=0o755)
                left = disks.copy(photograph.image, place / "data.ext4")
                forgotten = photograph.unflushed.forget(left, dice, drawn)
                found = finish_the_books(restore(left, place), place / "container", photograph, port)
                note(moment=photograph.moment, disk=kind, writes=forgotten, problems=found, judged="container")
                failures += [f"seed {SEED}, {photograph.moment} ({number}), {kind}: {each}" for each in found]
                fates.update(forgotten)
                done[f"{photograph.moment}, {kind}"] += 1
                shutil.rmtree(place)
            photograph.image.unlink()
    finally:
        built.clear(scratch)
        with capsys.disabled():
            told = bound(done.total()) if not failures else f"{done.total()} cuts, {len(failures)} failures."
            sys.stdout.write(f"\n{told} Writes: {dict(fates)}. Cuts: {dict(done)}.\n")
    assert not failures, "\n".join(failures)
