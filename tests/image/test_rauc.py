"""The real RAUC on a private bus: what it says of bundles and slots, and what the station makes of that.

Here it writes no slot, because that needs the device mapper; `test_updates` has it.
"""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.image.bundle import make_bundle
from scripts.image.maker import MakerKeys
from scripts.image.run import run
from station.domain.firmware import ImageRefused
from station.host.dbus.rauc import RaucUpdates
from tests.station import wait_until
from tests.system_bus import ADDRESS, SystemBus

ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "deploy/image/rauc/system.conf"
BOARD = "amd64"


class Workshop:
    """A maker, and what it makes."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.keys = directory, self.new_keys(directory / "keys")
        content = directory / "content"
        content.mkdir()
        (content / "software").write_bytes(random.Random(1).randbytes(300_000))
        self.image = directory / "image.ext4"
        run("mke2fs", "-q", "-t", "ext4", "-d", content, self.image, "8192k")

    @staticmethod
    def new_keys(directory: Path) -> MakerKeys:
        run(ROOT / "scripts/maker-key", directory, "Workshop")
        return MakerKeys(directory)

    def bundle(self, name: str, *, board: str = BOARD, keys: MakerKeys | None = None) -> Path:
        place = self.directory / name
        make_bundle(self.image, place, version="9.1.0", board=board, keys=keys or self.keys)
        return place


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """The boot loader's memory, in the first start of slot A."""
    place = tmp_path / "grubenv"
    run("grub-editenv", place, "create")
    run("grub-editenv", place, "set", "ORDER=A B", "A_OK=1", "A_TRY=1", "B_OK=1", "B_TRY=1", "LAST=A")
    return place


@pytest.fixture
def updates(
    tmp_path: Path, workshop: Workshop, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RaucUpdates]:
    text = SETTINGS.read_text().replace("@BOARD@", BOARD).replace("/efi/grub/grubenv", str(environment))
    text = text.replace("/usr/share/station/maker.pem", str(workshop.keys.trusted)).replace("/data/rauc", str(tmp_path))
    for slot in ("rootA", "rootB"):
        text = text.replace(f"/dev/disk/by-partlabel/{slot}", str(tmp_path / slot))
        (tmp_path / slot).touch()
    (tmp_path / "system.conf").write_text(text)
    with SystemBus(tmp_path) as bus:
        monkeypatch.setenv(ADDRESS, bus.address)
        command = ["rauc", "--conf", str(tmp_path / "system.conf"), "--override-boot-slot=A", "service"]
        service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        updates = RaucUpdates(state=tmp_path / "rauc.json", boot_id=lambda: "1")
        try:
            wait_until(lambda: not updates.unavailable(), timeout_s=30, what="RAUC")
            yield updates
        finally:
            service.kill()
            service.wait()


def memory(environment: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in run("grub-editenv", environment, "list").splitlines())


def test_a_bundle_of_the_maker_for_this_board_is_taken(updates: RaucUpdates, workshop: Workshop):
    assert updates.check(workshop.bundle("good.raucb"), needs_signature=True) == "9.1.0"


def test_bundles_for_another_board_of_another_maker_and_no_bundles_are_refused(
    updates: RaucUpdates, workshop: Workshop
):
    stranger = workshop.new_keys(workshop.directory / "stranger")
    cases = {
        workshop.bundle("board.raucb", board="toaster"): "other_hardware",
        workshop.bundle("stranger.raucb", keys=stranger): "signature_wrong",
        workshop.image: "container_unreadable",
    }

    for bundle, code in cases.items():
        with pytest.raises(ImageRefused) as refused:
            updates.check(bundle, needs_signature=True)
        assert refused.value.code == code


def test_slots_are_told_while_none_counts_as_good_and_what_runs_is_marked(updates: RaucUpdates, environment: Path):
    assert {(slot.bootname, slot.is_running) for slot in updates.slots()} == {("A", True), ("B", False)}

    updates.confirm()

    known = memory(environment)
    assert (known["A_OK"], known["A_TRY"]) == ("1", "0")
    # What only the boot loader knows is kept.
    assert known["LAST"] == "A"
    assert next(slot for slot in updates.slots() if slot.starts_next).bootname == "A"


def test_an_installation_that_cannot_be_done_leaves_the_slot_that_runs(
    updates: RaucUpdates, workshop: Workshop, environment: Path
):
    updates.confirm()
    bundle = workshop.bundle("good.raucb")
    with bundle.open("r+b") as file:
        file.truncate(bundle.stat().st_size - 5)

    with pytest.raises(ImageRefused):
        updates.install(bundle, ticket="one", needs_signature=True, progress=lambda _percent: None)
    updates.undo()

    known = memory(environment)
    assert (known["ORDER"], known["A_OK"], known["A_TRY"]) == ("A B", "1", "0")
