"""The EFI partition after a power cut: the boot loader's memory is mended, the factory's file is not passed over."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.image.boot import environment_block
from station.host import boot_memory
from tests.unit.deploy.test_grub import Computer as BootLoader

ROOT = Path(__file__).parents[3] / "deploy/image/root/usr/lib/station"
WHOLE = {"ORDER": "B A", "A_OK": "1", "A_TRY": "0", "B_OK": "1", "B_TRY": "1", "LAST": "B"}
BLOCK = environment_block(WHOLE)
# What a FAT holds after a power cut: nothing, a part, another file's blocks, zeros.
TORN = [b"", BLOCK[:512], BLOCK + b"#", b"\0" * 1024, b"PK\3\4" * 256, BLOCK.replace(b"ORDER=", b"\0\0\0\0\0\0"), None]


class Partition:
    """An EFI partition and what a station knows beside it; slot B runs."""

    def __init__(self, directory: Path) -> None:
        self.efi, self.run = directory / "efi", directory / "run"
        self.grub, self.slots, self.status = self.efi / "grub", directory / "slots", directory / "status"
        for each in (self.grub, self.run, self.slots):
            each.mkdir(parents=True)
        (self.grub / "grubenv").write_bytes(BLOCK)
        (self.grub / "good").write_bytes(environment_block({"GOOD": "B"}))
        (directory / "cmdline").write_text("root=PARTUUID=1 ro rauc.slot=B panic=10\n")
        places = {
            "efi=/efi": f"efi={self.efi}",
            "=/run/": f"={self.run}/",
            "/data/rauc/status": f"{self.status}",
            "/usr/lib/station/slot": f"sh {directory}/slot",
            "/var/lib/station/files/slots": f"{self.slots}",
            "/proc/cmdline": f"{directory}/cmdline",
        }
        for name in ("boot-partition", "slot"):
            text = (ROOT / name).read_text()
            for place, stand_in in places.items():
                text = text.replace(place, stand_in)
            (directory / name).write_text(text)
        self.script = directory / "boot-partition"

    def start(self) -> str:
        done = subprocess.run(["sh", self.script], capture_output=True, text=True, check=True)
        assert not done.stderr
        return done.stdout

    def memory(self) -> dict[str, str]:
        """Return what GRUB reads: by its own tool where it is there."""
        found = {}
        for name in ("grubenv", "good"):
            file = self.grub / name
            assert len(file.read_bytes()) == 1024
            lines = file.read_text().rstrip("#").splitlines()
            assert lines[0] == "# GRUB Environment Block"
            if shutil.which("grub-editenv"):
                subprocess.run(["grub-editenv", file, "set", "PROBE=1"], check=True)
                subprocess.run(["grub-editenv", file, "unset", "PROBE"], check=True)
            found |= dict(line.split("=", 1) for line in lines[1:])
        return found

    def tear(self, name: str, content: bytes | None) -> None:
        if content is None:
            (self.grub / name).unlink()
        else:
            (self.grub / name).write_bytes(content)

    def told(self) -> list[str]:
        note = self.run / boot_memory.NOTE
        return note.read_text().split() if note.exists() else []

    def installed(self, bootname: str) -> None:
        (self.slots / "rauc.json").write_text(json.dumps({"bootname": bootname, "confirmed": False}))


@pytest.fixture
def partition(tmp_path: Path) -> Partition:
    return Partition(tmp_path)


def test_a_memory_that_is_whole_is_left_alone(partition: Partition):
    assert partition.start() == ""

    assert (partition.grub / "grubenv").read_bytes() == BLOCK
    assert not list(partition.run.iterdir())


@pytest.mark.parametrize("content", TORN)
def test_a_torn_memory_is_written_whole_for_the_slot_that_runs(partition: Partition, content: bytes | None):
    partition.tear("grubenv", content)

    assert "grubenv was torn" in partition.start()

    assert partition.memory() == WHOLE | {"GOOD": "B"}
    assert partition.told() == ["grubenv"]
    assert sorted(path.name for path in partition.grub.iterdir()) == ["good", "grubenv"]
    assert partition.start() == ""


@pytest.mark.parametrize("content", [b"", environment_block({"GOOD": "C"}), None])
def test_which_slot_was_good_last_is_the_one_that_runs(partition: Partition, content: bytes | None):
    partition.tear("good", content)
    partition.start()

    assert partition.memory()["GOOD"] == "B"
    assert partition.told() == ["good"]


def test_software_on_trial_was_not_good_last(partition: Partition):
    partition.installed("B")
    partition.tear("good", b"")
    partition.tear("grubenv", b"")
    partition.start()

    memory = partition.memory()
    assert (memory["GOOD"], memory["ORDER"], memory["B_TRY"]) == ("A", "B A", "1")
    assert partition.told() == ["grubenv", "good"]


def test_a_slot_that_was_being_written_is_not_started(partition: Partition):
    partition.status.write_text("[slot.rootfs.1]\nstatus=ok\n\n[slot.rootfs.0]\nbundle.version=1\nstatus=update\n")
    partition.tear("grubenv", b"")
    partition.start()

    assert partition.memory()["A_OK"] == "0"


def test_the_boot_loader_counts_tries_again_after_that(partition: Partition):
    partition.tear("grubenv", b"")
    partition.start()
    computer = BootLoader(memory=partition.memory(), content={"A": "works", "B": "hangs"})

    # It was started once already, and two more times before the other one has its turn.
    assert [computer.start() for _ in range(3)] == ["B", "B", "A"]


def test_a_file_of_the_factory_is_noted_wherever_the_station_was_started_from(partition: Partition):
    (partition.efi / "station-provision.json").write_text("{}")
    (partition.script.parent / "cmdline").write_text("quiet\n")
    partition.tear("grubenv", b"")
    partition.start()

    assert [path.name for path in partition.run.iterdir()] == ["station-provision-file"]
    assert not (partition.grub / "grubenv").read_bytes()
